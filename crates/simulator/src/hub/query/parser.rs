//! Words to a query. Keywords are the same in any case.

use super::expression::Path;
use super::rows::{Aggregate, Item, Selection, What};
use super::words::{Word, words};
use super::{Collection, Query};

/// Members of a row.
const ITEMS_MAX: usize = 100;
/// Names of a path: a twin has twelve levels.
const NAMES_MAX: usize = 32;

/// Words that end a path or an item, and so are no names unless in brackets.
const KEYWORDS: [&str; 11] = ["select", "top", "from", "where", "group", "by", "as", "and", "or", "in", "nin"];

pub(super) type Parsed<T> = Result<T, String>;

/// What is left to read.
pub(super) struct Parser {
    pub(super) words: std::iter::Peekable<std::vec::IntoIter<Word>>,
    /// How deep in a condition.
    pub(super) depth: usize,
    /// Operators that were read.
    pub(super) operators: usize,
}

pub(super) fn parse(text: &str) -> Parsed<Query> {
    let mut parser = Parser { words: words(text)?.into_iter().peekable(), depth: 0, operators: 0 };
    let query = parser.query()?;
    parser.sign(";");
    match parser.words.next() {
        None => Ok(query),
        Some(word) => Err(format!("{} is not expected", shown(&word))),
    }
}

fn shown(word: &Word) -> String {
    match word {
        Word::Name(name) | Word::Quoted(name) => format!("'{name}'"),
        Word::Number(number) => number.to_string(),
        Word::Integer(number) => number.to_string(),
        Word::Text(_) => "a string".to_owned(),
        Word::Sign(sign) => format!("'{sign}'"),
    }
}

impl Parser {
    fn query(&mut self) -> Parsed<Query> {
        self.need("select")?;
        let top = if self.keyword("top") { Some(self.count()?) } else { None };
        let items = if self.sign("*") { None } else { Some(self.items()?) };
        self.need("from")?;
        let collection = self.collection()?;
        let condition = if self.keyword("where") { Some(self.expression()?) } else { None };
        let groups = if self.keyword("group") { self.groups()? } else { Vec::new() };
        let selection = match items {
            None if groups.is_empty() => Selection::All,
            None => return Err("'*' can not be grouped".to_owned()),
            Some(items) => Selection::Items { items, groups },
        };
        Ok(Query { collection, selection, top, condition })
    }

    pub(super) fn keyword(&mut self, wanted: &str) -> bool {
        self.words.next_if(|word| matches!(word, Word::Name(name) if name.eq_ignore_ascii_case(wanted))).is_some()
    }

    pub(super) fn sign(&mut self, wanted: &str) -> bool {
        self.words.next_if(|word| matches!(word, Word::Sign(sign) if *sign == wanted)).is_some()
    }

    pub(super) fn need(&mut self, wanted: &str) -> Parsed<()> {
        if self.keyword(wanted) || self.sign(wanted) { Ok(()) } else { Err(self.expected(wanted)) }
    }

    fn expected(&mut self, wanted: &str) -> String {
        let found = self.words.peek().map_or_else(|| "the end".to_owned(), shown);
        format!("{} was expected, not {found}", wanted.to_uppercase())
    }

    fn count(&mut self) -> Parsed<usize> {
        match self.words.next() {
            Some(Word::Integer(count)) => usize::try_from(count).map_err(|_| "TOP needs a number".to_owned()),
            _ => Err("TOP needs a number".to_owned()),
        }
    }

    fn collection(&mut self) -> Parsed<Collection> {
        self.need("devices")?;
        if !self.sign(".") {
            return Ok(Collection::Devices);
        }
        if self.keyword("modules") {
            return Ok(Collection::Modules);
        }
        self.need("jobs").map(|()| Collection::Jobs)
    }

    fn groups(&mut self) -> Parsed<Vec<Path>> {
        self.need("by")?;
        self.listed(|parser| parser.path())
    }

    fn listed<T>(&mut self, mut one: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.sign(",") {
            if all.len() >= ITEMS_MAX {
                return Err("the list is too long".to_owned());
            }
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn items(&mut self) -> Parsed<Vec<Item>> {
        let mut place = 0;
        self.listed(|parser| {
            place += 1;
            let (named, what) = parser.selected()?;
            let name = if parser.keyword("as") { parser.name()? } else { named.unwrap_or_else(|| format!("${place}")) };
            Ok(Item { name, what })
        })
    }

    /// Something to show, and the name that it has by itself.
    fn selected(&mut self) -> Parsed<(Option<String>, What)> {
        let path = self.path()?;
        let [name] = path.0.as_slice() else { return Ok((path.0.last().cloned(), What::Path(path))) };
        if !self.sign("(") {
            return Ok((Some(name.clone()), What::Path(path)));
        }
        let what = match name.to_ascii_lowercase().as_str() {
            "count" => What::Count,
            "sum" => What::Aggregate(Aggregate::Sum, self.path()?),
            "avg" => What::Aggregate(Aggregate::Average, self.path()?),
            "min" => What::Aggregate(Aggregate::Least, self.path()?),
            "max" => What::Aggregate(Aggregate::Greatest, self.path()?),
            _ => return Err(format!("there is no function '{name}'")),
        };
        self.need(")")?;
        Ok((None, what))
    }

    fn name(&mut self) -> Parsed<String> {
        let is_name = |word: &Word| match word {
            Word::Name(name) => !KEYWORDS.iter().any(|keyword| name.eq_ignore_ascii_case(keyword)),
            Word::Quoted(_) => true,
            _ => false,
        };
        match self.words.next_if(is_name) {
            Some(Word::Name(name) | Word::Quoted(name)) => Ok(name),
            _ => Err(self.expected("a name")),
        }
    }

    /// `devices`, `devices.modules` and `devices.jobs` in front mean the twin itself.
    pub(super) fn path(&mut self) -> Parsed<Path> {
        let mut names = vec![self.name()?];
        while self.sign(".") {
            if names.len() >= NAMES_MAX {
                return Err("the path is too long".to_owned());
            }
            names.push(self.name()?);
        }
        let is = |names: &[String], wanted: &str| names.first().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        if names.len() > 1 && is(&names, "devices") {
            names.remove(0);
            if names.len() > 1 && (is(&names, "modules") || is(&names, "jobs")) {
                names.remove(0);
            }
        }
        Ok(Path(names))
    }
}
