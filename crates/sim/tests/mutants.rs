//! The list of mistakes keeps up with the tree.

use std::collections::BTreeSet;
use std::path::Path;

use sim::mutants::Mutant;

#[test]
fn every_mistake_can_still_be_made() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mutants = Mutant::all().expect("a list");
    assert!(mutants.len() >= 24, "{}", mutants.len());
    for mutant in &mutants {
        let spoilt = mutant.spoilt(&root).unwrap_or_else(|misfit| panic!("{}: {misfit}", mutant.name));
        assert_ne!(spoilt, std::fs::read_to_string(root.join(&mutant.file)).unwrap(), "{}", mutant.name);
    }
    let names: BTreeSet<_> = mutants.iter().map(|mutant| &mutant.name).collect();
    assert_eq!(names.len(), mutants.len(), "each has a name of its own");
}
