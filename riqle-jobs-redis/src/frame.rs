//! How values are laid out in bytes: numbers little endian, texts behind their length, what may be missing behind a byte.

use riqle_jobs_core::{Codec, Error, ErrorKind, Payload};
use uuid::Uuid;

/// Writes a value.
#[derive(Default)]
pub(crate) struct Frame(pub(crate) Vec<u8>);

impl Frame {
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn byte(&mut self, byte: u8) -> &mut Self {
        self.raw(&[byte])
    }

    pub(crate) fn number(&mut self, number: u32) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    pub(crate) fn long(&mut self, number: i64) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    /// In as few bytes as it needs: seven bits in each, the lowest first.
    pub(crate) fn count(&mut self, mut count: u64) -> &mut Self {
        while count >= 0x80 {
            self.byte(count.to_le_bytes()[0] | 0x80);
            count >>= 7;
        }
        self.byte(count.to_le_bytes()[0])
    }

    pub(crate) fn uuid(&mut self, uuid: Uuid) -> &mut Self {
        self.raw(uuid.as_bytes())
    }

    /// At most 255 bytes.
    pub(crate) fn word(&mut self, text: &str) -> &mut Self {
        self.byte(u8::try_from(text.len()).unwrap_or(u8::MAX)).raw(text.as_bytes())
    }

    /// At most 65,535 bytes.
    pub(crate) fn key(&mut self, text: &str) -> &mut Self {
        self.raw(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes()).raw(text.as_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn maybe<T>(
        &mut self,
        value: Option<T>,
        write: impl for<'f> FnOnce(&'f mut Self, T) -> &'f mut Self,
    ) -> &mut Self {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    pub(crate) fn maybe_text(&mut self, text: Option<&str>) -> &mut Self {
        self.maybe(text, |frame, text| frame.text(text))
    }

    /// To the end of the value.
    pub(crate) fn payload(&mut self, payload: &Payload) -> &mut Self {
        self.byte(payload.codec.0).raw(&payload.bytes)
    }
}

/// Reads a value in the order in which it was written.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or_else(|| corrupt("a value ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        let mut count = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            count |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(count);
            }
        }
        Err(corrupt("a number is too long"))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Error> {
        self.array().map(Uuid::from_bytes)
    }

    pub(crate) fn word(&mut self) -> Result<String, Error> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }

    pub(crate) fn key(&mut self) -> Result<String, Error> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        self.string(length)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.number()?;
        self.raw(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let length = self.number()?;
        self.string(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn string(&mut self, length: usize) -> Result<String, Error> {
        text(self.raw(length)?)
    }

    pub(crate) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.byte()? == 0 { Ok(None) } else { read(self).map(Some) }
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn payload(&mut self) -> Result<Payload, Error> {
        Ok(Payload { codec: Codec(self.byte()?), bytes: self.rest().to_vec() })
    }
}

/// A text that this store wrote.
pub(crate) fn text(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|cause| corrupt("a text is not UTF-8").caused_by(cause))
}

pub(crate) fn corrupt(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, "read", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_takes_as_few_bytes_as_it_needs_and_is_read_back() {
        for (count, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut frame = Frame::default();
            frame.count(count);
            assert_eq!(frame.0.len(), bytes, "{count}");
            let mut reader = Reader(&frame.0);
            assert_eq!((reader.count().unwrap(), reader.rest()), (count, &[][..]));
        }
        assert!(Reader(&[0x80]).count().is_err());
        assert!(Reader(&[0xff; 11]).count().is_err());
    }
}
