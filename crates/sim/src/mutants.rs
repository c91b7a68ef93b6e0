//! Mistakes planted in the product, one at a time: does the judge find them? The list is `mutants.toml`; the binary `mutants`
//! works through it in a copy of the tree.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

/// The list, as it stands in the crate.
const LIST: &str = include_str!("../mutants.toml");

/// One mistake: in `file`, `old` becomes `new`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What it is called.
    pub name: String,
    /// The promise that it breaks, and how.
    pub breaks: String,
    /// From the root of the workspace.
    pub file: String,
    /// Occurs exactly once.
    pub old: String,
    /// Compiles in its place.
    pub new: String,
    /// A seed that finds it, where that takes more than a few hundred. It belongs to the plan of its time.
    #[serde(default)]
    pub seed: Option<u64>,
}

#[derive(Deserialize)]
struct List {
    mutants: Vec<Mutant>,
}

/// Why a mistake cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// The tree has moved on.
    #[error("`{file}` has the text to be replaced {times} times, not once; bring mutants.toml up to date")]
    Times {
        /// [`Mutant::file`]
        file: String,
        /// How often it occurs.
        times: usize,
    },
    /// There is no such file.
    #[error("failed to read or write `{file}`")]
    File {
        /// [`Mutant::file`]
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Mutant {
    /// All of them.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn all() -> Result<Vec<Self>, toml::de::Error> {
        Ok(toml::from_str::<List>(LIST)?.mutants)
    }

    /// The text of its file with the mistake in it.
    ///
    /// # Errors
    /// [`Misfit`]
    pub fn spoilt(&self, root: &Path) -> Result<String, Misfit> {
        let text = fs::read_to_string(root.join(&self.file)).map_err(|source| self.failed(source))?;
        match text.matches(&self.old).count() {
            1 => Ok(text.replacen(&self.old, &self.new, 1)),
            times => Err(Misfit::Times { file: self.file.clone(), times }),
        }
    }

    /// Makes the mistake in the tree at `copy`, of what stands in the tree at `root`.
    ///
    /// # Errors
    /// [`Misfit`]
    pub fn plant(&self, root: &Path, copy: &Path) -> Result<(), Misfit> {
        fs::write(copy.join(&self.file), self.spoilt(root)?).map_err(|source| self.failed(source))
    }

    /// Takes it back.
    ///
    /// # Errors
    /// [`Misfit`]
    pub fn mend(&self, root: &Path, copy: &Path) -> Result<(), Misfit> {
        let text = fs::read(root.join(&self.file)).and_then(|text| fs::write(copy.join(&self.file), text));
        text.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Misfit {
        Misfit::File { file: self.file.clone(), source }
    }
}
