//! The subjects of the Federation: which one an ОКАТО code lies in, its name and its time zone.
//!
//! The list is data (`config/regions.csv`, embedded), so that a reform is a change of a file.

use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;

/// The list that is part of the program.
const EMBEDDED: &str = include_str!("../config/regions.csv");

/// A subject of the Federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The prefix that the ОКАТО codes of its territory have: 2 to 4 digits.
    pub okato: String,
    /// As in the Constitution: «Республика Татарстан».
    pub name: String,
    /// The IANA name of its time zone.
    pub zone: String,
}

/// All subjects, by ОКАТО prefix. A code belongs to the longest prefix that it has: 7114 (Ямало-
/// Ненецкий) before 711 (Ханты-Мансийский) before 71 (Тюменская).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions(BTreeMap<String, Region>);

/// What is wrong with a list of regions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it; lines count from 1, the heading")]
pub enum RegionsError {
    #[error("list of regions has no column {column}")]
    NoColumn { column: &'static str },
    #[error("list of regions has {found} fields instead of {expected} in line {line}")]
    Fields { line: usize, found: usize, expected: usize },
    #[error("list of regions has {okato:?} in line {line}, which is not an ОКАТО of 2..11 digits")]
    BadOkato { line: usize, okato: String },
    #[error("list of regions has the ОКАТО {okato} again in line {line}")]
    Repeated { line: usize, okato: String },
    #[error("list of regions has the unknown time zone {zone:?} in line {line}")]
    UnknownZone { line: usize, zone: String },
}

impl Regions {
    /// The list that is part of the program.
    pub fn embedded() -> Regions {
        Regions::parse(EMBEDDED).expect("the embedded list is read in a test")
    }

    /// Reads CSV with a heading that has at least `okato`, `name` and `zone`, in any order; fields
    /// are not quoted.
    ///
    /// # Errors
    /// The first line that is wrong, and how.
    pub fn parse(csv: &str) -> Result<Regions, RegionsError> {
        let mut lines = csv.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let heading: Vec<&str> = lines.next().map_or("", |(_, line)| line).split(',').collect();
        let column = |column: &'static str| {
            let at = heading.iter().position(|name| name.trim() == column);
            at.ok_or(RegionsError::NoColumn { column })
        };
        let (okato, name, zone) = (column("okato")?, column("name")?, column("zone")?);
        let zones = TimeZoneDatabase::bundled();
        let mut regions = BTreeMap::new();
        for (index, text) in lines {
            let line = index + 1;
            let fields: Vec<&str> = text.split(',').map(str::trim).collect();
            let (found, expected) = (fields.len(), heading.len());
            if found != expected {
                return Err(RegionsError::Fields { line, found, expected });
            }
            let field = |at: usize| fields[at].to_owned();
            let region = Region { okato: field(okato), name: field(name), zone: field(zone) };
            let digits = region.okato.bytes().all(|b| b.is_ascii_digit());
            if !digits || !(2..=11).contains(&region.okato.len()) {
                return Err(RegionsError::BadOkato { line, okato: region.okato });
            }
            if zones.get(&region.zone).is_err() {
                return Err(RegionsError::UnknownZone { line, zone: region.zone });
            }
            if let Some(earlier) = regions.insert(region.okato.clone(), region) {
                return Err(RegionsError::Repeated { line, okato: earlier.okato });
            }
        }
        Ok(Regions(regions))
    }

    /// The subject a code of any length lies in.
    pub fn get(&self, okato: &str) -> Option<&Region> {
        (2..=okato.len()).rev().find_map(|length| self.0.get(okato.get(..length)?))
    }

    /// The prefix of the subject that a code lies in; of an unknown one, its first two digits.
    pub fn subject<'a>(&self, okato: &'a str) -> &'a str {
        let length = self.get(okato).map_or(2, |region| region.okato.len());
        okato.get(..length).unwrap_or(okato)
    }

    /// The IANA name of the time zone a code lies in.
    pub fn zone(&self, okato: &str) -> Option<&str> {
        self.get(okato).map(|region| region.zone.as_str())
    }

    /// All subjects, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let regions = Regions::embedded();
        for (okato, subject, name) in [
            ("71", "71", "Тюменская область"),
            ("71401", "71", "Тюменская область"),
            ("711", "711", "Ханты-Мансийский автономный округ - Югра"),
            ("71131000", "711", "Ханты-Мансийский автономный округ - Югра"),
            ("7114", "7114", "Ямало-Ненецкий автономный округ"),
            ("71140000000", "7114", "Ямало-Ненецкий автономный округ"),
            ("11100000000", "111", "Ненецкий автономный округ"),
            ("92401", "92", "Республика Татарстан"),
        ] {
            assert_eq!(regions.subject(okato), subject);
            assert_eq!(regions.get(okato).map(|region| region.name.as_str()), Some(name));
        }
    }

    #[test]
    fn an_unknown_code_is_its_first_two_digits() {
        let regions = Regions::embedded();
        assert_eq!(regions.subject("02123"), "02");
        assert_eq!(regions.subject("0"), "0");
        assert_eq!((regions.get("02123"), regions.zone("")), (None, None));
    }

    #[test]
    fn eighty_nine_subjects_and_baikonur_in_eleven_zones() {
        let regions = Regions::embedded();
        assert_eq!(regions.iter().count(), 90);
        assert_eq!(regions.zone("27"), Some("Europe/Kaliningrad"));
        assert_eq!(regions.zone("77"), Some("Asia/Anadyr"));
    }

    #[test]
    fn a_wrong_list_is_refused_with_its_line() {
        for (csv, message) in [
            ("", "list of regions has no column okato"),
            ("okato,name", "list of regions has no column zone"),
            ("okato,name,zone\n01,A", "list of regions has 2 fields instead of 3 in line 2"),
            (
                "okato,name,zone\n0,A,Europe/Moscow",
                "list of regions has \"0\" in line 2, which is not an ОКАТО of 2..11 digits",
            ),
            (
                "okato,name,zone\n\n01,A,Europe/Moscow\n01,B,Europe/Moscow",
                "list of regions has the ОКАТО 01 again in line 4",
            ),
            (
                "okato,name,zone\n01,A,Europe/Nowhere",
                "list of regions has the unknown time zone \"Europe/Nowhere\" in line 2",
            ),
        ] {
            assert_eq!(Regions::parse(csv).expect_err("refused").to_string(), message);
        }
    }
}
