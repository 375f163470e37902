use std::fmt;

use serde_json::{Value, json};

/// How a window is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Of the page, in CSS pixels. Below 600 it is a phone's, which scales what does not name its viewport.
    pub width: u32,
    /// Of what is seen without scrolling, in CSS pixels.
    pub height: u32,
    pub scheme: Scheme,
}

/// What `prefers-color-scheme` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Look {
    pub const DESKTOP: Self = Self { width: 1280, height: 800, scheme: Scheme::Light };
    pub const PHONE: Self = Self { width: 390, height: 844, scheme: Scheme::Light };

    pub const fn dark(self) -> Self {
        Self { scheme: Scheme::Dark, ..self }
    }

    /// For `Emulation.setDeviceMetricsOverride`.
    pub(super) fn metrics(self) -> Value {
        json!({"width": self.width, "height": self.height, "deviceScaleFactor": 1, "mobile": self.width < 600})
    }

    /// For `Emulation.setEmulatedMedia`.
    pub(super) fn media(self) -> Value {
        json!({"features": [{"name": "prefers-color-scheme", "value": self.scheme.to_string()}]})
    }
}

/// As it stands in names of files: `1280-light`.
impl fmt::Display for Look {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.width, self.scheme)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Light => "light",
            Self::Dark => "dark",
        })
    }
}
