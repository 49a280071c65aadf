//! The latest detections of each mount. They outlive its stream, and are gone with the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use super::detection::Detection;
use super::local_time::MAX_AHEAD;
use crate::mount::Name;
use crate::utc::Utc;

/// A detection that is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeptDetection {
    /// Its number among those of all mounts, from 1.
    #[serde(skip)]
    pub number: u64,
    /// What was heard.
    #[serde(flatten)]
    pub detection: Detection,
    /// When it arrived.
    pub received: Utc,
}

/// What became of the detections of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// How many were kept.
    pub accepted: usize,
    /// How many were there already.
    pub duplicates: usize,
    /// The one that is later than all others of the mount, if it is among them. Those that are
    /// in the future do not count.
    pub latest: Option<Arc<KeptDetection>>,
    /// Those of a species of which the mount had none.
    pub new_species: Vec<Arc<KeptDetection>>,
}

/// How many a mount has got, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectionCount {
    /// All that were kept since it got the first one.
    pub total: u64,
    /// When the newest arrived.
    pub newest: Utc,
}

#[derive(Debug)]
struct MountDetections {
    kept: VecDeque<Arc<KeptDetection>>,
    count: DetectionCount,
}

/// The detections of all mounts.
#[derive(Debug, Default)]
pub struct DetectionLog {
    mounts: Mutex<BTreeMap<Name, MountDetections>>,
    /// The number of the newest one; 0 before the first.
    newest: watch::Sender<u64>,
}

impl DetectionLog {
    /// Keeps detections of a mount, which arrive at `received`: as many as `most`, and of as many mounts as
    /// `most_mounts`. The mount that has got none for longest is forgotten for a new one.
    pub fn keep(
        &self,
        name: &Name,
        detections: Vec<Detection>,
        received: Utc,
        (most, most_mounts): (usize, usize),
    ) -> Kept {
        if detections.is_empty() {
            return Kept::default();
        }
        let mut mounts = self.lock();
        while !mounts.contains_key(name) && !mounts.is_empty() && mounts.len() >= most_mounts {
            let newest = |mount: &MountDetections| mount.kept.back().map(|kept| kept.number);
            let quietest = mounts.iter().min_by_key(|(_, mount)| newest(mount));
            let quietest = quietest.map(|(name, _)| name.clone());
            quietest.map(|name| mounts.remove(&name));
        }
        let mount = mounts.entry(name.clone()).or_insert_with(|| MountDetections {
            kept: VecDeque::new(),
            count: DetectionCount { total: 0, newest: received },
        });
        let (mut result, mut number) = (Kept::default(), *self.newest.borrow());
        let now = received.after(MAX_AHEAD);
        for detection in detections {
            if mount.kept.iter().any(|kept| kept.detection.is_again(&detection)) {
                result.duplicates = result.duplicates.saturating_add(1);
                continue;
            }
            number = number.saturating_add(1);
            let mut others = mount.kept.iter().map(|kept| &kept.detection);
            let is_earlier =
                |other: &Detection| other.start <= detection.start || other.start > now;
            let is_latest = detection.start <= now && others.clone().all(is_earlier);
            let is_new = !others.any(|other| other.is_of_species(&detection));
            let kept = Arc::new(KeptDetection { number, detection, received });
            if is_latest {
                result.latest = Some(Arc::clone(&kept));
            }
            if is_new {
                result.new_species.push(Arc::clone(&kept));
            }
            mount.kept.push_back(kept);
            result.accepted = result.accepted.saturating_add(1);
            mount.count.total = mount.count.total.saturating_add(1);
            mount.count.newest = received;
        }
        while mount.kept.len() > most {
            mount.kept.pop_front();
        }
        // Before others can take the next number.
        self.newest.send_if_modified(|newest| std::mem::replace(newest, number) != number);
        result
    }

    /// The detections of a mount, the latest first.
    pub fn of(&self, name: &Name) -> Vec<Arc<KeptDetection>> {
        let mounts = self.lock();
        let mut kept: Vec<_> =
            mounts.get(name).into_iter().flat_map(|mount| mount.kept.iter().cloned()).collect();
        drop(mounts);
        kept.sort_by_key(|kept| (kept.detection.start, kept.number));
        kept.reverse();
        kept
    }

    /// The detection of a mount with this number, if it is still kept.
    pub fn find(&self, name: &Name, number: u64) -> Option<Arc<KeptDetection>> {
        let mounts = self.lock();
        let kept = &mounts.get(name)?.kept;
        let index = kept.binary_search_by_key(&number, |kept| kept.number).ok()?;
        kept.get(index).cloned()
    }

    /// Those of a mount that are heard between two times, the earliest first.
    pub fn between(&self, name: &Name, from: Utc, to: Utc) -> Vec<Arc<KeptDetection>> {
        let mut kept = self.of(name);
        kept.reverse();
        kept.retain(|kept| kept.detection.start < to && kept.detection.end > from);
        kept
    }

    /// The oldest of all mounts' detections after this number, at most so many, with their mounts.
    pub fn after(&self, number: u64, most: usize) -> Vec<(Name, Arc<KeptDetection>)> {
        let mounts = self.lock();
        let newer = |(name, mount): (&Name, &MountDetections)| -> Vec<_> {
            let newer = mount.kept.iter().rev().take_while(|kept| kept.number > number);
            newer.map(|kept| (name.clone(), Arc::clone(kept))).collect()
        };
        let mut all: Vec<_> = mounts.iter().flat_map(newer).collect();
        drop(mounts);
        all.sort_by_key(|(_, kept)| kept.number);
        all.truncate(most);
        all
    }

    /// How many each mount has got.
    pub fn counts(&self) -> Vec<(Name, DetectionCount)> {
        self.lock().iter().map(|(name, mount)| (name.clone(), mount.count)).collect()
    }

    /// The number of the newest detection.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, MountDetections>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// A detection of this species, so many seconds after a point in time.
    fn detection(species: &str, second: u64) -> Detection {
        let start = Utc::from_micros(0).after(Duration::from_secs(second));
        Detection {
            scientific_name: Some(species.into()),
            common_name: None,
            confidence: 1.0,
            start,
            end: start.after(Duration::from_secs(3)),
            low_frequency: None,
            high_frequency: None,
            id: None,
            model: None,
            url: None,
        }
    }

    fn species(kept: &[Arc<KeptDetection>]) -> Vec<String> {
        kept.iter().map(|kept| kept.detection.title()).collect()
    }

    #[test]
    fn the_latest_of_each_mount_are_kept_and_none_of_them_twice() {
        let (log, m) = (DetectionLog::default(), name("/m"));
        let at = |second| Utc::from_micros(0).after(Duration::from_secs(second));
        let kept = log.keep(&m, vec![detection("a", 0), detection("b", 5)], at(10), (3, 2));
        assert_eq!((kept.accepted, kept.duplicates, kept.new_species.len()), (2, 0, 2));
        assert_eq!(kept.latest.unwrap().detection.title(), "b");
        let kept = log.keep(&m, vec![detection("a", 0), detection("a", 2)], at(11), (3, 2));
        assert_eq!((kept.accepted, kept.duplicates, kept.new_species.len()), (1, 1, 0));
        assert_eq!(kept.latest, None, "b was heard later");
        assert_eq!(log.keep(&name("/n"), Vec::new(), at(11), (3, 1)), Kept::default());
        assert_eq!(species(&log.of(&m)), ["b", "a", "a"]);
        log.keep(&m, vec![detection("c", 9)], at(12), (3, 2));
        assert_eq!(species(&log.of(&m)), ["c", "b", "a"]);
        assert_eq!(species(&log.between(&m, at(3), at(9))), ["a", "b"]);
        let numbers: Vec<_> = log.after(1, 2).iter().map(|(_, kept)| kept.number).collect();
        assert_eq!((numbers, *log.newest().borrow()), (vec![2, 3], 4));
        assert!(log.find(&m, 1).is_none() && log.find(&m, 4).is_some());
        assert_eq!(log.counts(), [(m, DetectionCount { total: 4, newest: at(12) })]);
    }

    #[test]
    fn the_mount_that_has_got_none_for_longest_is_forgotten() {
        let log = DetectionLog::default();
        for (second, mount) in (0..).zip(["/a", "/b", "/a", "/c"]) {
            let heard = detection(mount, second);
            let received = heard.end;
            log.keep(&name(mount), vec![heard], received, (9, 2));
        }
        let names: Vec<_> = log.counts().into_iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["/a", "/c"]);
    }

    #[test]
    fn a_detection_from_the_future_is_not_the_latest() {
        let (log, m) = (DetectionLog::default(), name("/m"));
        let now = detection("now", 0).end;
        let keep = |species, second| {
            let kept = log.keep(&m, vec![detection(species, second)], now, (9, 2));
            kept.latest.map(|kept| kept.detection.title())
        };
        assert_eq!(keep("future", 1_000_000), None);
        assert_eq!(keep("a minute ahead", 60), Some("a minute ahead".into()));
        assert_eq!(keep("now", 61), Some("now".into()));
    }

    #[test]
    fn a_detection_with_an_id_is_known_by_it() {
        let with = |id: Option<&str>, species, second| Detection {
            id: id.map(Into::into),
            ..detection(species, second)
        };
        assert!(with(Some("7"), "a", 0).is_again(&with(Some("7"), "b", 0)), "it was corrected");
        assert!(!with(Some("7"), "a", 0).is_again(&with(Some("7"), "a", 9)), "another database");
        assert!(!with(Some("7"), "a", 0).is_again(&with(Some("8"), "a", 0)));
        assert!(with(Some("7"), "a", 0).is_again(&with(None, "a", 0)));
        assert!(!with(None, "a", 0).is_again(&with(None, "b", 0)));
    }
}
