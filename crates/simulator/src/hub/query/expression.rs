//! Expressions of a condition, and their values for a twin.
//!
//! A value that is not there is `None` and makes every comparison with it neither true nor false; only what is true
//! matters in the end.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// A condition or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Constant(Value),
    Undefined,
    Path(Path),
    List(Vec<Expression>),
    Not(Box<Expression>),
    Both(Box<Expression>, Box<Expression>),
    Either(Box<Expression>, Box<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Calculate(Calculation, Box<Expression>, Box<Expression>),
    /// Whether the first is one of the second; with `false` whether it is none.
    Among(Box<Expression>, Box<Expression>, bool),
    Call(Function, Vec<Expression>),
}

/// Where in a twin: names from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What can be asked of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    IsDefined,
    IsNull,
    IsBool,
    IsNumber,
    IsString,
    IsArray,
    IsObject,
    IsPrimitive,
    StartsWith,
    EndsWith,
    Contains,
}

impl Function {
    /// The function of a name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "is_defined" => Self::IsDefined,
            "is_null" => Self::IsNull,
            "is_bool" => Self::IsBool,
            "is_number" => Self::IsNumber,
            "is_string" => Self::IsString,
            "is_array" => Self::IsArray,
            "is_object" => Self::IsObject,
            "is_primitive" => Self::IsPrimitive,
            "startswith" | "starts_with" => Self::StartsWith,
            "endswith" | "ends_with" => Self::EndsWith,
            "contains" => Self::Contains,
            _ => return None,
        })
    }

    pub(super) fn arguments(self) -> usize {
        if matches!(self, Self::StartsWith | Self::EndsWith | Self::Contains) { 2 } else { 1 }
    }

    fn of(self, value: Option<&Value>, other: Option<&Value>) -> Option<bool> {
        let texts = || Some((value?.as_str()?, other?.as_str()?));
        match self {
            Self::IsDefined => Some(value.is_some()),
            Self::IsNull => Some(value.is_some_and(Value::is_null)),
            Self::IsBool => Some(value.is_some_and(Value::is_boolean)),
            Self::IsNumber => Some(value.is_some_and(Value::is_number)),
            Self::IsString => Some(value.is_some_and(Value::is_string)),
            Self::IsArray => Some(value.is_some_and(Value::is_array)),
            Self::IsObject => Some(value.is_some_and(Value::is_object)),
            Self::IsPrimitive => Some(value.is_some_and(is_primitive)),
            Self::StartsWith => texts().map(|(text, start)| text.starts_with(start)),
            Self::EndsWith => texts().map(|(text, end)| text.ends_with(end)),
            Self::Contains => texts().map(|(text, part)| text.contains(part)),
        }
    }
}

fn is_primitive(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

impl Path {
    /// What stands there. Names of the twin's own members are the same in any case, names of properties are not.
    pub(super) fn of<'v>(&self, twin: &'v Value) -> Option<&'v Value> {
        let (first, rest) = self.0.split_first()?;
        let members = twin.as_object()?;
        let root = members
            .get(first)
            .or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(first)).map(|(_, value)| value))?;
        rest.iter().try_fold(root, |value, name| value.as_object()?.get(name))
    }
}

impl Expression {
    pub(super) fn is_true_of(&self, twin: &Value) -> bool {
        self.truth(twin) == Some(true)
    }

    fn truth(&self, twin: &Value) -> Option<bool> {
        self.value(twin)?.as_bool()
    }

    /// As deep as it was read, and that was bounded.
    fn value(&self, twin: &Value) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Undefined => None,
            Self::Path(path) => path.of(twin).cloned(),
            Self::List(items) => items.iter().map(|item| item.value(twin)).collect::<Option<Vec<_>>>().map(Value::from),
            Self::Not(inner) => inner.truth(twin).map(|truth| Value::from(!truth)),
            Self::Both(a, b) => both(a.truth(twin), b.truth(twin)).map(Value::from),
            Self::Either(a, b) => {
                both(a.truth(twin).map(|truth| !truth), b.truth(twin).map(|truth| !truth)).map(|both| (!both).into())
            }
            Self::Compare(how, a, b) => how.of(&a.value(twin)?, &b.value(twin)?).map(Value::from),
            Self::Calculate(how, a, b) => how.of(&a.value(twin)?, &b.value(twin)?),
            Self::Among(one, all, wanted) => {
                let (one, all) = (one.value(twin)?, all.value(twin)?);
                let is_one = all.as_array()?.iter().any(|other| Comparison::Equal.of(&one, other) == Some(true));
                Some(Value::from(is_one == *wanted))
            }
            Self::Call(function, arguments) => {
                let value = |at: usize| arguments.get(at).and_then(|argument| argument.value(twin));
                function.of(value(0).as_ref(), value(1).as_ref()).map(Value::from)
            }
        }
    }
}

/// False already when one of them is.
fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl Comparison {
    /// Only primitive values are compared, and by size only those of one kind.
    fn of(self, a: &Value, b: &Value) -> Option<bool> {
        if !is_primitive(a) || !is_primitive(b) {
            return None;
        }
        let order = order(a, b);
        match self {
            Self::Equal => Some(order == Some(Ordering::Equal)),
            Self::Unequal => Some(order != Some(Ordering::Equal)),
            Self::Less => order.map(Ordering::is_lt),
            Self::LessOrEqual => order.map(Ordering::is_le),
            Self::Greater => order.map(Ordering::is_gt),
            Self::GreaterOrEqual => order.map(Ordering::is_ge),
        }
    }
}

/// The order of two values of one kind.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

impl Calculation {
    /// What has no finite result has none.
    fn of(self, a: &Value, b: &Value) -> Option<Value> {
        let (a, b) = (a.as_f64()?, b.as_f64()?);
        let result = match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Remainder => a % b,
        };
        Number::from_f64(result).map(Value::Number)
    }
}
