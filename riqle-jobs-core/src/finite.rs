//! JSON has no numbers that are not finite; its writer makes them `null` without a word.

use std::fmt;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Whether every number in `value` is finite, as far as that can be told.
pub(crate) fn is_finite<T: Serialize + ?Sized>(value: &T) -> bool {
    !matches!(value.serialize(Look), Err(Stop::NotFinite))
}

/// Looks at each number and writes nothing.
struct Look;

/// Why the look ended early.
#[derive(Debug)]
enum Stop {
    NotFinite,
    /// The value has no form at all; its writer says why.
    Other,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the look ended early")
    }
}

impl std::error::Error for Stop {}

impl Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stop::Other
    }
}

type Looked = Result<(), Stop>;

macro_rules! nothing_to_see {
    ($($method:ident($kind:ty),)+) => {
        $(fn $method(self, _: $kind) -> Looked {
            Ok(())
        })+
    };
}

impl Serializer for Look {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    nothing_to_see! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, number: f32) -> Looked {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Looked {
        if number.is_finite() { Ok(()) } else { Err(Stop::NotFinite) }
    }

    fn serialize_none(self) -> Looked {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Looked {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Looked {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Looked {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Looked {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Looked {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Stop> {
        Ok(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Looked {
        Ok(())
    }
}

macro_rules! look_at_items {
    ($($kind:ident::$method:ident($($name:ty)?),)+) => {
        $(impl $kind for Look {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Looked {
                value.serialize(Look)
            }

            fn end(self) -> Looked {
                Ok(())
            }
        })+
    };
}

look_at_items! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
}

impl SerializeMap for Look {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Looked {
        key.serialize(Look)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Looked {
        value.serialize(Look)
    }

    fn end(self) -> Looked {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(f32),
        Box { sides: (f64, Option<f64>) },
    }

    #[test]
    fn numbers_that_are_not_finite_are_found_wherever_they_stand() {
        let nan = f64::NAN;
        assert!(!is_finite(&nan));
        assert!(!is_finite(&f32::INFINITY));
        assert!(!is_finite(&vec![Some(1.0), None, Some(f64::NEG_INFINITY)]));
        assert!(!is_finite(&BTreeMap::from([("price", (1, nan))])));
        assert!(!is_finite(&Shape::Circle(f32::NAN)));
        assert!(!is_finite(&[Shape::Point, Shape::Box { sides: (1.0, Some(nan)) }]));
    }

    #[test]
    fn all_else_is_left_to_the_writer() {
        assert!(is_finite(&(1.5, "NaN", None::<f64>, [Shape::Point, Shape::Circle(1.0)])));
        assert!(is_finite(&BTreeMap::from([(Some(1), ())])));
        assert!(is_finite(&serde_json::json!({"a": [1.0, null, {"b": "x"}]})));
    }
}
