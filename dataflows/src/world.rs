//! What the rules take as given besides the events: switches, regions, zones, working days.

use std::collections::BTreeMap;

use crate::calendar::{WorkingDays, Zone};
use crate::id::Id;

/// The switches of the rules (D4, D6, D10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// D4: when the SMS digit counts as an integral rating.
    pub integral: Integral,
    /// D6: which date a rating has.
    pub attribution: Attribution,
    /// D10: the key of the draw.
    pub sample_key: (u64, u64),
    /// D10: the most records a list asks for, 0 for no limit.
    pub survey_cap: u32,
    /// Days after its last message at which a record can no longer change, 0 for never.
    pub horizon_days: u32,
}

/// D4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integral {
    /// Only for records with a completed survey: the letter of p. 7.10 and p. 12.
    Surveyed,
    /// For every valid SMS.
    All,
}

/// D6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// The date of receipt, as p. 12 says.
    Received,
    /// The date of the service.
    Provided,
}

/// A time zone of the [`World`], by its place in the list.
pub type ZoneIndex = u16;

/// Regions, zones and the production calendar, as data.
#[derive(Clone, Debug)]
pub struct World {
    /// Subjects of the federation by ОКАТО prefix.
    subjects: BTreeMap<String, (Id, ZoneIndex)>,
    zones: Vec<Zone>,
    /// The production calendar.
    pub working_days: WorkingDays,
}

impl World {
    /// `subjects` are `(ОКАТО prefix, place in zones)`; `zones[0]` is Moscow's, which also stands
    /// in where a region is not known.
    pub fn new(
        subjects: impl IntoIterator<Item = (String, ZoneIndex)>,
        zones: Vec<Zone>,
        working_days: WorkingDays,
    ) -> World {
        let subjects = subjects
            .into_iter()
            .map(|(prefix, zone)| {
                let id = Id::of(&prefix);
                (prefix, (id, zone))
            })
            .collect();
        World { subjects, zones, working_days }
    }

    /// The subject an ОКАТО lies in and its zone: the longest prefix wins (7114 before 711 before
    /// 71); the first two digits and Moscow's time where none is known.
    pub fn subject(&self, okato: Id) -> (Id, ZoneIndex) {
        let code = okato.text();
        (2..=code.len())
            .rev()
            .find_map(|length| self.subjects.get(code.get(..length)?).copied())
            .unwrap_or_else(|| (Id::of(code.get(..2).unwrap_or(code)), 0))
    }

    /// A zone by its place in the list.
    pub fn zone(&self, index: ZoneIndex) -> &Zone {
        &self.zones[usize::from(index)]
    }
}
