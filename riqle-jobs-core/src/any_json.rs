//! Whether JSON can be read by a job that takes any value.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// Reads JSON as a job would that takes any value, and keeps nothing: what no job can read (a number out of range, half of
/// a surrogate pair, too many levels) is an error. `IgnoredAny` looks at neither numbers nor text.
pub(crate) struct AnyJson;

impl<'de> Deserialize<'de> for AnyJson {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Reader)
    }
}

struct Reader;

macro_rules! taken {
    ($($method:ident($kind:ty),)+) => {
        $(fn $method<E>(self, _: $kind) -> Result<AnyJson, E> {
            Ok(AnyJson)
        })+
    };
}

impl<'de> Visitor<'de> for Reader {
    type Value = AnyJson;

    taken! { visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str), }

    fn visit_unit<E>(self) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<AnyJson, A::Error> {
        while items.next_element::<AnyJson>()?.is_some() {}
        Ok(AnyJson)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<AnyJson, A::Error> {
        while members.next_entry::<AnyJson, AnyJson>()?.is_some() {}
        Ok(AnyJson)
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
}
