//! Every decoder on the corpus of the fuzz targets, and on bytes of this run's own.

#[path = "../common/arbitrary.rs"]
mod targets;

use proptest::prelude::*;
use std::path::Path;

#[test]
fn the_corpus_is_decoded_or_refused() {
    for (name, target) in targets::TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut count = 0;
        for file in corpus.read_dir().expect("each target has a corpus") {
            target(&std::fs::read(file.expect("there").path()).expect("there"));
            count += 1;
        }
        assert!(count > 0, "{name} has a corpus");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }
}
