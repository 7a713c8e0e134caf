//! The switches of the rules: where a reasonable reader of the Order could decide otherwise.
//!
//! They are the same for a node, for `compute` and for `verify`, and a figure means nothing without
//! them, so every output says which are on. What needs no switch is no option.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The rules as they are switched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// D4: for which records the integral rating counts.
    pub integral: Integral,
    /// D6: which date a rating has.
    pub attribution: Attribution,
    /// D10: what keys the draw of the survey sample. Whoever knows it can foretell the draw.
    pub sample_seed: String,
    /// D10: how many records the phone centre can take of one list, 0 for any number.
    pub survey_cap: u32,
    /// Days after its last message at which a record can no longer change, 0 for never. What comes
    /// later for it is refused as `closed`.
    pub horizon_days: u32,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            integral: Integral::default(),
            attribution: Attribution::default(),
            sample_seed: "otklik".to_owned(),
            survey_cap: 0,
            horizon_days: 0,
        }
    }
}

/// D4: for which records the SMS digit also counts as an integral rating (p. 7.10, 12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Integral {
    /// Those with a completed survey: the letter of p. 7.10.
    #[default]
    Surveyed,
    /// All with a valid SMS.
    All,
}

/// D6: which date a rating has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Attribution {
    /// The date it was received, in the offset it is written in: the letter of p. 12.
    #[default]
    Received,
    /// The date the service was provided.
    Provided,
}

impl fmt::Display for Integral {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Integral::Surveyed => "surveyed",
            Integral::All => "all",
        })
    }
}

impl fmt::Display for Attribution {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Attribution::Received => "received",
            Attribution::Provided => "provided",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_set_any_of_them_and_nothing_else() {
        let rules: Rules = toml::from_str("integral = \"all\"\nsurvey_cap = 3").expect("valid");
        let expected = Rules { integral: Integral::All, survey_cap: 3, ..Rules::default() };
        assert_eq!(rules, expected);
        let error = toml::from_str::<Rules>("integrals = \"all\"").expect_err("a wrong key");
        assert!(error.to_string().contains("integrals"), "{error}");
    }

    #[test]
    fn they_are_written_alike_everywhere() {
        for integral in Integral::value_variants() {
            assert_eq!(Integral::from_str(&integral.to_string(), false), Ok(*integral));
            assert_eq!(serde_json::json!(integral), integral.to_string());
        }
        for attribution in Attribution::value_variants() {
            assert_eq!(Attribution::from_str(&attribution.to_string(), false), Ok(*attribution));
            assert_eq!(serde_json::json!(attribution), attribution.to_string());
        }
    }
}
