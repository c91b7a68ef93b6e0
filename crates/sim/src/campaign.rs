//! Many seeds, on all the threads that are wanted; what they had in them; and for one that fails, the shortest of its stories
//! that fails as well.

use std::time::Duration;

use crate::plan::Plan;
use crate::story::tell;

/// One seed, told once.
pub fn one(seed: u64, length: Duration) {
    let told = tell(Plan::new(seed, length), true);
    print!("{}", told.log.unwrap_or_default());
    println!("{:016x} taken {} lives {} lasted {:?}", told.fingerprint, told.taken, told.lives, told.lasted);
    for finding in &told.findings {
        println!("{finding}");
    }
}
pub fn many(from: u64, to: u64, length: Duration) {
    for seed in from..to {
        let told = tell(Plan::new(seed, length), false);
        for finding in &told.findings {
            println!("seed {seed}: {finding}");
        }
        println!(
            "seed {seed} {:016x} taken {} lives {} lasted {:?}",
            told.fingerprint, told.taken, told.lives, told.lasted
        );
    }
}
