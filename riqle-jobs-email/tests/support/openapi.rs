use serde_json::{Map, Value};

/// A schema of Resend's OpenAPI description. Stricter than it: properties that it does not know are refused, and so is a
/// keyword that this check does not know.
pub struct Schema {
    document: Value,
    name: &'static str,
}

/// What a value must not be, with the place where it is.
type Checked = Result<(), String>;

impl Schema {
    pub fn of_resend(name: &'static str) -> Self {
        let document = serde_saphyr::from_str(include_str!("../resend/openapi.yaml")).unwrap();
        Self { document, name }
    }

    pub fn check(&self, value: &Value) -> Checked {
        self.check_against(&self.document["components"]["schemas"][self.name], value, "body")
    }

    fn check_against(&self, schema: &Value, value: &Value, place: &str) -> Checked {
        let schema = schema.as_object().ok_or_else(|| format!("{place}: there is no schema"))?;
        for (keyword, rule) in schema {
            match (keyword.as_str(), value) {
                ("$ref", _) => {
                    let pointer = rule.as_str().unwrap().trim_start_matches('#');
                    let schema = self.document.pointer(pointer).unwrap();
                    self.check_against(schema, value, place)?;
                }
                ("type", _) => check_type(rule.as_str().unwrap(), value, place)?,
                ("oneOf", _) => {
                    let fits = |schema: &&Value| self.check_against(schema, value, place).is_ok();
                    let count = rule.as_array().unwrap().iter().filter(fits).count();
                    if count != 1 {
                        return Err(format!("{place}: fits {count} of the alternatives, not one"));
                    }
                }
                ("required", Value::Object(object)) => check_required(rule, object, place)?,
                ("properties", Value::Object(object)) => {
                    for (name, value) in object {
                        let place = format!("{place}.{name}");
                        let schema = rule.get(name).ok_or_else(|| format!("{place}: unknown"))?;
                        self.check_against(schema, value, &place)?;
                    }
                }
                ("items", Value::Array(items)) => {
                    for (index, item) in items.iter().enumerate() {
                        self.check_against(rule, item, &format!("{place}[{index}]"))?;
                    }
                }
                ("minItems", Value::Array(items)) if items.len() < count(rule) => {
                    return Err(format!("{place}: too few items"));
                }
                ("maxItems", Value::Array(items)) if items.len() > count(rule) => {
                    return Err(format!("{place}: too many items"));
                }
                ("description" | "required" | "properties" | "items" | "minItems" | "maxItems", _) => {}
                (keyword, _) => return Err(format!("{place}: the check knows no keyword {keyword:?}")),
            }
        }
        Ok(())
    }
}

fn check_type(name: &str, value: &Value, place: &str) -> Checked {
    let fits = match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{place}: no {name}")) }
}

fn check_required(names: &Value, object: &Map<String, Value>, place: &str) -> Checked {
    let names = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    match names.into_iter().find(|name| !object.contains_key(*name)) {
        Some(name) => Err(format!("{place}.{name}: missing")),
        None => Ok(()),
    }
}

fn count(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}
