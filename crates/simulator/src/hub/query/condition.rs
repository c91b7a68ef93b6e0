//! The part of a query behind WHERE, from what binds least to what binds most.

use serde_json::Value;

use super::expression::{Calculation, Comparison, Expression, Function};
use super::parser::{Parsed, Parser};
use super::words::Word;

/// Parentheses, lists, negations and operators in each other: each takes some frames of the stack, here and when it is
/// asked of a twin.
const DEPTH_MAX: usize = 32;
/// Operators in all: where they follow each other the tree leans, so they nest as well. Enough for many ids in a chain
/// of OR; IN is made for more.
const OPERATORS_MAX: usize = 256;
impl Parser {
    pub(super) fn expression(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("the condition is too deep".to_owned());
        }
        let expression = self.chain(Self::conjunction, |parser| parser.keyword("or").then_some(Expression::Either));
        self.depth -= 1;
        expression
    }

    fn conjunction(&mut self) -> Parsed<Expression> {
        self.chain(Self::negation, |parser| parser.keyword("and").then_some(Expression::Both))
    }

    /// Operands with operators between, the left ones first.
    fn chain<F>(
        &mut self,
        operand: fn(&mut Self) -> Parsed<Expression>,
        operator: impl Fn(&mut Self) -> Option<F>,
    ) -> Parsed<Expression>
    where
        F: FnOnce(Box<Expression>, Box<Expression>) -> Expression,
    {
        let mut left = operand(self)?;
        while let Some(join) = operator(self) {
            self.operators += 1;
            if self.operators > OPERATORS_MAX {
                return Err("the condition is too long".to_owned());
            }
            left = join(Box::new(left), Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Parsed<Expression> {
        if !self.keyword("not") {
            return self.comparison();
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("the condition is too deep".to_owned());
        }
        let inner = self.negation()?;
        self.depth -= 1;
        Ok(Expression::Not(Box::new(inner)))
    }

    fn comparison(&mut self) -> Parsed<Expression> {
        let left = self.sum()?;
        let comparison = [
            ("=", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<", Comparison::Less),
            ("<=", Comparison::LessOrEqual),
            (">", Comparison::Greater),
            (">=", Comparison::GreaterOrEqual),
        ];
        if let Some((_, how)) = comparison.into_iter().find(|(sign, _)| self.sign(sign)) {
            return Ok(Expression::Compare(how, Box::new(left), Box::new(self.sum()?)));
        }
        let wanted = match (self.keyword("in"), self.keyword("nin")) {
            (true, _) => true,
            (_, true) => false,
            _ => return Ok(left),
        };
        Ok(Expression::Among(Box::new(left), Box::new(self.sum()?), wanted))
    }

    fn sum(&mut self) -> Parsed<Expression> {
        self.chain(Self::product, |parser| {
            let how = match parser.sign("+") {
                true => Calculation::Add,
                false if parser.sign("-") => Calculation::Subtract,
                false => return None,
            };
            Some(move |a, b| Expression::Calculate(how, a, b))
        })
    }

    fn product(&mut self) -> Parsed<Expression> {
        self.chain(Self::operand, |parser| {
            let signs = [("*", Calculation::Multiply), ("/", Calculation::Divide), ("%", Calculation::Remainder)];
            let (_, how) = signs.into_iter().find(|(sign, _)| parser.sign(sign))?;
            Some(move |a, b| Expression::Calculate(how, a, b))
        })
    }

    fn operand(&mut self) -> Parsed<Expression> {
        if self.sign("(") {
            let inner = self.expression()?;
            return self.need(")").map(|()| inner);
        }
        if self.sign("[") {
            let items = if self.sign("]") { return Ok(Expression::List(Vec::new())) } else { self.values()? };
            return self.need("]").map(|()| Expression::List(items));
        }
        let sign = if self.sign("-") { -1 } else { 1 };
        let constant = |value| Ok(Expression::Constant(value));
        match self.words.next_if(|word| matches!(word, Word::Number(_) | Word::Integer(_) | Word::Text(_))) {
            Some(Word::Number(number)) => constant(Value::from(number * f64::from(sign))),
            Some(Word::Integer(number)) => constant(Value::from(number * i64::from(sign))),
            Some(Word::Text(text)) if sign == 1 => constant(Value::from(text)),
            _ if sign == -1 => Err("'-' needs a number".to_owned()),
            _ => self.named(),
        }
    }

    /// As many as the text has room for.
    fn values(&mut self) -> Parsed<Vec<Expression>> {
        let mut all = vec![self.expression()?];
        while self.sign(",") {
            all.push(self.expression()?);
        }
        Ok(all)
    }

    fn named(&mut self) -> Parsed<Expression> {
        for (word, value) in [("true", Value::from(true)), ("false", Value::from(false)), ("null", Value::Null)] {
            if self.keyword(word) {
                return Ok(Expression::Constant(value));
            }
        }
        if self.keyword("undefined") {
            return Ok(Expression::Undefined);
        }
        let path = self.path()?;
        let [name] = path.0.as_slice() else { return Ok(Expression::Path(path)) };
        if !self.sign("(") {
            return Ok(Expression::Path(path));
        }
        let function = Function::named(name).ok_or_else(|| format!("there is no function '{name}'"))?;
        let arguments = self.values()?;
        self.need(")")?;
        if arguments.len() != function.arguments() {
            return Err(format!("'{name}' takes {} arguments", function.arguments()));
        }
        Ok(Expression::Call(function, arguments))
    }
}
