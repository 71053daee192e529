//! Local copies of what a watch shows, by the CurriculumJob that they belong to: looking up those of one job costs the same with ten
//! jobs and with ten thousand. (kube's own store has one shelf for all, which every look-up has to walk.)
//!
//! Kept as packed JSON: the API's types are wide, a `Pod` has 2.2 kB and each status of a container 0.7 kB before anything is in them.
//! Ten thousand jobs have a hundred thousand Jobs and pods, and a reconcile reads ten of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use tokio::sync::watch;

use super::packed::Packed;

/// Objects of one kind, by a key.
pub(crate) struct Indexed<K> {
    shelves: RwLock<Shelves>,
    key_of: fn(&K) -> Option<String>,
    is_ready: watch::Sender<bool>,
}

#[derive(Default)]
struct Shelves {
    now: Copies,
    /// What a listing under way has brought so far; it replaces `now` when it is whole.
    listing: Copies,
}

#[derive(Default)]
struct Copies {
    /// The objects of each key, by name.
    by_key: HashMap<Key, Vec<(Name, Packed)>>,
    keys: HashMap<Name, Key>,
}

type Key = Arc<str>;
/// Namespace and name.
type Name = Arc<str>;

fn pack<K: Serialize + ResourceExt>(object: &K) -> Option<Packed> {
    let written = serde_json::to_vec(object);
    let written = written.inspect_err(|error| broken(&name_of(object), error));
    Some(Packed::new(&written.ok()?))
}

fn open<K: DeserializeOwned>(name: &str, object: &Packed) -> Option<K> {
    let text = object.text().map_err(serde_json::Error::custom);
    let read = text.and_then(|text| serde_json::from_slice(&text));
    read.inspect_err(|error| broken(name, error)).ok()
}

/// Types of Kubernetes come back as they were written, so this is a fault of theirs or ours; whoever makes an object that it does not
/// see is stopped by the API server.
fn broken(name: &str, error: &serde_json::Error) {
    tracing::error!(name, %error, "an object cannot be kept");
}

impl Copies {
    fn put(&mut self, name: Name, key: Option<String>, object: Packed) {
        self.take(&name);
        let Some(key) = key else { return };
        let known = self.by_key.get_key_value(key.as_str());
        let key = known.map_or_else(|| Key::from(key), |(key, _)| Arc::clone(key));
        let shelf = self.by_key.entry(Arc::clone(&key)).or_default();
        let place = shelf.partition_point(|(other, _)| *other < name);
        shelf.insert(place, (Arc::clone(&name), object));
        self.keys.insert(name, key);
    }

    fn take(&mut self, name: &str) {
        let Some(key) = self.keys.remove(name) else { return };
        if let Some(shelf) = self.by_key.get_mut(&key) {
            shelf.retain(|(other, _)| **other != *name);
            if shelf.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &(Name, Packed)> {
        self.by_key.values().flatten()
    }

    /// One object of each key.
    fn of_each(&self) -> impl Iterator<Item = &(Name, Packed)> {
        self.by_key.values().filter_map(|shelf| shelf.first())
    }
}

impl<K: Resource + ResourceExt + Serialize + DeserializeOwned> Indexed<K> {
    /// Nothing yet; objects without a key are left out.
    pub(crate) fn new(key_of: fn(&K) -> Option<String>) -> Self {
        Self {
            shelves: RwLock::default(),
            key_of,
            is_ready: watch::Sender::new(false),
        }
    }

    /// Takes in what the watch shows, and tells which objects came, changed or went, those that went unseen among them: after a gap, a
    /// new listing simply lacks them. Of a listing, one object of each key is told.
    pub(crate) fn take_in(&self, event: Event<K>, mut touched: impl FnMut(&K)) {
        // Every write leaves the copies whole, so a panic elsewhere has broken nothing.
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => shelves.listing = Copies::default(),
            Event::InitApply(object) => self.put(&mut shelves.listing, &object),
            Event::InitDone => {
                let new = std::mem::take(&mut shelves.listing);
                let old = std::mem::replace(&mut shelves.now, new);
                let gone = old.all().filter(|(name, _)| !shelves.now.keys.contains_key(name));
                for (name, object) in shelves.now.of_each().chain(gone) {
                    if let Some(object) = open(name, object) {
                        touched(&object);
                    }
                }
                self.is_ready.send_replace(true);
            }
            Event::Apply(object) => {
                self.put(&mut shelves.now, &object);
                touched(&object);
            }
            Event::Delete(object) => {
                shelves.now.take(&name_of(&object));
                touched(&object);
            }
        }
    }

    fn put(&self, copies: &mut Copies, object: &K) {
        if let Some(packed) = pack(object) {
            copies.put(name_of(object).into(), (self.key_of)(object), packed);
        }
    }

    /// The objects of that key, by name.
    pub(crate) fn of(&self, key: &str) -> Vec<K> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.now.by_key.get(key).into_iter().flatten();
        shelf.filter_map(|(name, object)| open(name, object)).collect()
    }

    /// Waits until the first listing is whole.
    pub(crate) async fn wait_until_ready(&self) {
        // The sender is ours, so that it cannot be gone.
        let _ = self.is_ready.subscribe().wait_for(|ready| *ready).await;
    }
}

fn name_of(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn of(name: &str, job: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.namespace = Some("lab".to_owned());
        map.metadata.name = Some(name.to_owned());
        map.labels_mut().insert("job".to_owned(), job.to_owned());
        map
    }

    fn index() -> Indexed<ConfigMap> {
        Indexed::new(|map| map.labels().get("job").filter(|job| !job.is_empty()).cloned())
    }

    fn names(found: &[ConfigMap]) -> Vec<String> {
        found.iter().map(ResourceExt::name_any).collect()
    }

    /// Names of what the event touched.
    fn take_in(index: &Indexed<ConfigMap>, event: Event<ConfigMap>) -> Vec<String> {
        let mut touched = Vec::new();
        index.take_in(event, |map| touched.push(map.name_any()));
        touched.sort();
        touched
    }

    #[test]
    fn objects_come_change_their_job_and_go() {
        let index = index();
        for (name, job) in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "")] {
            assert_eq!(take_in(&index, Event::Apply(of(name, job))), [name]);
        }
        assert_eq!(names(&index.of("x")), ["a", "b"]);
        assert_eq!(names(&index.of("")), [""; 0], "without a key");
        take_in(&index, Event::Apply(of("b", "y")));
        assert_eq!(
            (names(&index.of("x")), names(&index.of("y"))),
            (vec!["a".into()], vec!["b".into(), "c".into()])
        );
        assert_eq!(take_in(&index, Event::Delete(of("a", "x"))), ["a"]);
        assert_eq!(names(&index.of("x")), [""; 0]);
    }

    #[tokio::test]
    async fn a_listing_replaces_everything_at_once_and_tells_what_is_gone() {
        let index = index();
        take_in(&index, Event::Apply(of("old", "x")));
        take_in(&index, Event::Init);
        take_in(&index, Event::InitApply(of("new", "x")));
        assert_eq!(names(&index.of("x")), ["old"], "not yet whole");
        assert_eq!(take_in(&index, Event::InitDone), ["new", "old"]);
        assert_eq!(names(&index.of("x")), ["new"]);
        index.wait_until_ready().await;
    }
}
