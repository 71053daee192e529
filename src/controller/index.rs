//! Local copies of what a watch shows, by the CurriculumJob that they belong to: looking up those of one job costs the same with ten
//! jobs and with ten thousand. (kube's own store has one shelf for all, which every look-up has to walk.)

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;

/// Objects of one kind, by a key.
pub(crate) struct Indexed<K> {
    shelves: RwLock<Shelves<K>>,
    key_of: fn(&K) -> Option<String>,
    is_ready: watch::Sender<bool>,
}

struct Shelves<K> {
    now: Copies<K>,
    /// What a listing under way has brought so far; it replaces `now` when it is whole.
    listing: Copies<K>,
}

/// By key, then by namespace and name.
struct Copies<K> {
    by_key: HashMap<String, BTreeMap<Name, Arc<K>>>,
    keys: HashMap<Name, String>,
}

type Name = (String, String);

impl<K> Default for Copies<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            keys: HashMap::new(),
        }
    }
}

impl<K> Copies<K> {
    fn put(&mut self, name: Name, key: Option<String>, object: Arc<K>) {
        self.take(&name);
        if let Some(key) = key {
            self.by_key.entry(key.clone()).or_default().insert(name.clone(), object);
            self.keys.insert(name, key);
        }
    }

    fn take(&mut self, name: &Name) -> Option<Arc<K>> {
        let key = self.keys.remove(name)?;
        let shelf = self.by_key.get_mut(&key)?;
        let taken = shelf.remove(name);
        if shelf.is_empty() {
            self.by_key.remove(&key);
        }
        taken
    }

    fn all(&self) -> impl Iterator<Item = (&Name, &Arc<K>)> {
        self.by_key.values().flatten()
    }
}

impl<K: Resource + ResourceExt> Indexed<K> {
    /// Nothing yet; objects without a key are left out.
    pub(crate) fn new(key_of: fn(&K) -> Option<String>) -> Self {
        Self {
            shelves: RwLock::new(Shelves {
                now: Copies::default(),
                listing: Copies::default(),
            }),
            key_of,
            is_ready: watch::Sender::new(false),
        }
    }

    /// Takes in what the watch shows. Returns the objects that came, changed or went, those that went unseen among them: after a gap, a
    /// new listing simply lacks them.
    pub(crate) fn take_in(&self, event: Event<K>) -> Vec<Arc<K>> {
        // Every write leaves the copies whole, so a panic elsewhere has broken nothing.
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                shelves.listing = Copies::default();
                Vec::new()
            }
            Event::InitApply(object) => {
                let object = Arc::new(object);
                shelves
                    .listing
                    .put(name_of(object.as_ref()), (self.key_of)(object.as_ref()), object);
                Vec::new()
            }
            Event::InitDone => {
                let new = std::mem::take(&mut shelves.listing);
                let old = std::mem::replace(&mut shelves.now, new);
                let gone = old.all().filter(|(name, _)| !shelves.now.keys.contains_key(*name));
                let touched = shelves
                    .now
                    .all()
                    .chain(gone)
                    .map(|(_, object)| Arc::clone(object))
                    .collect();
                self.is_ready.send_replace(true);
                touched
            }
            Event::Apply(object) => {
                let object = Arc::new(object);
                shelves.now.put(
                    name_of(object.as_ref()),
                    (self.key_of)(object.as_ref()),
                    Arc::clone(&object),
                );
                vec![object]
            }
            Event::Delete(object) => {
                let object = Arc::new(object);
                shelves.now.take(&name_of(object.as_ref()));
                vec![object]
            }
        }
    }

    /// The objects of that key, by name.
    pub(crate) fn of(&self, key: &str) -> Vec<Arc<K>> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves
            .now
            .by_key
            .get(key)
            .map(|shelf| shelf.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Waits until the first listing is whole.
    pub(crate) async fn wait_until_ready(&self) {
        // The sender is ours, so that it cannot be gone.
        let _ = self.is_ready.subscribe().wait_for(|ready| *ready).await;
    }
}

fn name_of(object: &impl ResourceExt) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
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

    fn names(found: &[Arc<ConfigMap>]) -> Vec<String> {
        found.iter().map(|map| map.name_any()).collect()
    }

    #[test]
    fn objects_come_change_their_job_and_go() {
        let index = index();
        for (name, job) in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "")] {
            assert_eq!(names(&index.take_in(Event::Apply(of(name, job)))), [name]);
        }
        assert_eq!(names(&index.of("x")), ["a", "b"]);
        assert_eq!(names(&index.of("")), [""; 0], "without a key");
        index.take_in(Event::Apply(of("b", "y")));
        assert_eq!(
            (names(&index.of("x")), names(&index.of("y"))),
            (vec!["a".into()], vec!["b".into(), "c".into()])
        );
        assert_eq!(names(&index.take_in(Event::Delete(of("a", "x")))), ["a"]);
        assert_eq!(names(&index.of("x")), [""; 0]);
    }

    #[tokio::test]
    async fn a_listing_replaces_everything_at_once_and_tells_what_is_gone() {
        let index = index();
        index.take_in(Event::Apply(of("old", "x")));
        index.take_in(Event::Init);
        index.take_in(Event::InitApply(of("new", "x")));
        assert_eq!(names(&index.of("x")), ["old"], "not yet whole");
        let mut touched = names(&index.take_in(Event::InitDone));
        touched.sort();
        assert_eq!(touched, ["new", "old"]);
        assert_eq!(names(&index.of("x")), ["new"]);
        index.wait_until_ready().await;
    }
}
