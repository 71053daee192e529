//! The smallest JSON merge patch (RFC 7386) from one value to another.

use serde_json::{Map, Value};

/// The patch that makes `to` of `from`. Neither may hold `null` in an object, which a merge patch cannot write; lists are
/// replaced as a whole.
pub(crate) fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for (key, new) in to {
        match from.get(key) {
            Some(old) if old == new => {}
            Some(old @ Value::Object(_)) if new.is_object() => drop(patch.insert(key.clone(), merge_patch(old, new))),
            // A patch into what is no object starts from an empty one, so the whole of it is the patch.
            _ => drop(patch.insert(key.clone(), new.clone())),
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_in_it() {
        let from = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": true});
        let to = json!({"a": {"b": 2, "c": [1, 2]}, "e": true, "f": {"g": 1}});
        assert_eq!(
            merge_patch(&from, &to),
            json!({"a": {"b": 2}, "d": null, "f": {"g": 1}})
        );
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..3_i64).prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_patch_makes_one_of_the_other(from in object(), to in object()) {
            let mut patched = from.clone();
            json_patch::merge(&mut patched, &merge_patch(&from, &to));
            prop_assert_eq!(patched, to);
        }
    }
}
