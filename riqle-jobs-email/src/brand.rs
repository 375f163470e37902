//! Who the emails come from: sender, shop and language.

use riqle_jobs_core::{Error, ErrorKind, Mailbox, email::visible_text};

use crate::Locale;

/// Who the emails come from.
///
/// ```
/// # use riqle_jobs_core::Mailbox;
/// # use riqle_jobs_email::Brand;
/// let brand = Brand::new(Mailbox::parse("Riqle <orders@riqle.com>")?);
/// let other = brand.clone().shop("Lampshop", "https://lamps.example")?;
/// assert_eq!(other.order_url("a/b"), "https://lamps.example/orders/a%2Fb");
/// # Ok::<(), riqle_jobs_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) shop_name: String,
    pub(crate) shop_url: String,
    pub(crate) locale: Locale,
}

impl Brand {
    /// Emails of the shop Riqle at `https://riqle.com`, from this address.
    pub fn new(from: Mailbox) -> Self {
        Self {
            from,
            reply_to: None,
            shop_name: "Riqle".to_owned(),
            shop_url: "https://riqle.com".to_owned(),
            locale: Locale::En,
        }
    }

    /// Another shop's name and URL.
    ///
    /// # Errors
    /// `Misconfigured` if the name is empty, or the URL is not an absolute http or https URL.
    pub fn shop(mut self, name: &str, url: &str) -> Result<Self, Error> {
        let misconfigured = |line: &str| Error::new(ErrorKind::Misconfigured, "brand", line);
        self.shop_name = visible_text(name);
        if self.shop_name.is_empty() {
            return Err(misconfigured("the shop's name is empty"));
        }
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let plain = url.chars().all(|c| c.is_ascii_graphic() && !"\"'<>\\^`{|}?#".contains(c));
        if host.is_empty() || host.starts_with('/') || !plain {
            return Err(misconfigured("the shop's URL is not of the form https://host/path"));
        }
        self.shop_url = url.trim_end_matches('/').to_owned();
        Ok(self)
    }

    /// Where replies go, if not to the sender.
    #[must_use]
    pub fn reply_to(mut self, address: Mailbox) -> Self {
        self.reply_to = Some(address);
        self
    }

    /// The sender.
    pub fn from(&self) -> &Mailbox {
        &self.from
    }

    /// The language of the emails if a run's input names none. Default English.
    #[must_use]
    pub fn locale(mut self, locale: Locale) -> Self {
        self.locale = locale;
        self
    }

    /// In the language that an input names, if it names one.
    pub(crate) fn in_locale(&self, locale: Option<Locale>) -> Self {
        let brand = self.clone();
        let locale = locale.unwrap_or(brand.locale);
        brand.locale(locale)
    }

    /// The page of an order: `/orders/{id}` under the shop's URL.
    pub fn order_url(&self, id: &str) -> String {
        let mut url = format!("{}/orders/", self.shop_url);
        for byte in id.bytes() {
            // The unreserved characters of RFC 3986, section 2.3.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                url.push(char::from(byte));
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
        url
    }

    /// Where customers can write.
    pub(crate) fn answers_to(&self) -> &str {
        &self.reply_to.as_ref().unwrap_or(&self.from).address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_url_that_could_leave_its_attribute_is_refused() {
        let brand = Brand::new(Mailbox::parse("orders@riqle.com").unwrap());
        for url in
            ["", "riqle.com", "javascript:alert(1)", "https://", "https:///x", "https://a\"b", "https://a?b"]
        {
            let error = brand.clone().shop("Riqle", url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}");
        }
        assert_eq!(brand.shop("Riqle", "http://127.0.0.1:8288/").unwrap().shop_url, "http://127.0.0.1:8288");
    }
}
