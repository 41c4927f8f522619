//! From text to a condition: tokens one by one, then by precedence `or`, `and`, `not`, comparison.
//! Time is linear in the text, which is bounded, and so are recursion and comparisons.

use super::InvalidAccess;
use super::condition::{AttributeName, Condition, Order, all_of, any_of, not};
use crate::domain::attributes::{AttributeValue, Number};
use crate::limits::{
    MAX_ATTRIBUTE_VALUE_BYTES, MAX_RULE_BYTES, MAX_RULE_COMPARISONS, MAX_RULE_DEPTH,
    MAX_RULE_NUMBER_DIGITS,
};
use crate::text::is_hidden;

/// Reads a whole text.
pub(super) fn condition(text: &str) -> Result<Condition, InvalidAccess> {
    if text.is_empty() || text.len() > MAX_RULE_BYTES {
        return Err(InvalidAccess::Length(text.len()));
    }
    let mut parser = Parser { text, at: 0, comparisons: 0, depth: 0 };
    let condition = parser.any()?;
    match parser.peek()? {
        (Token::End, _) => Ok(condition),
        (token, _) => Err(parser.unexpected("\"and\", \"or\" or its end", &token)),
    }
}

/// White space between tokens.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes read.
    at: usize,
    comparisons: usize,
    /// Parentheses and negations that are open.
    depth: usize,
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    And,
    Or,
    Not,
    Has,
    In,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    Equal,
    Unequal,
    Order(Order),
    Name(&'a str),
    Value(AttributeValue),
    End,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Condition, InvalidAccess> {
        let mut parts = vec![self.all()?];
        while self.take_if(&Token::Or)? {
            parts.push(self.all()?);
        }
        Ok(any_of(parts))
    }

    fn all(&mut self) -> Result<Condition, InvalidAccess> {
        let mut parts = vec![self.factor()?];
        while self.take_if(&Token::And)? {
            parts.push(self.factor()?);
        }
        Ok(all_of(parts))
    }

    fn factor(&mut self) -> Result<Condition, InvalidAccess> {
        if self.take_if(&Token::Not)? {
            self.deeper()?;
            let part = self.factor()?;
            self.depth -= 1;
            return Ok(not(part));
        }
        if self.take_if(&Token::Open)? {
            self.deeper()?;
            let part = self.any()?;
            self.depth -= 1;
            self.expect(&Token::Close, "\"and\", \"or\" or \")\"")?;
            return Ok(part);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Condition, InvalidAccess> {
        if self.take_if(&Token::Has)? {
            let name = self.name("an attribute's name")?;
            self.count_comparison()?;
            return Ok(Condition::Has(name));
        }
        let name = self.name("an attribute's name, \"has\", \"not\" or \"(\"")?;
        self.count_comparison()?;
        let (token, end) = self.peek()?;
        match token {
            Token::Order(order) => {
                self.at = end;
                let than = self.number()?;
                Ok(Condition::Ordered { name, order, than })
            }
            Token::Equal | Token::Unequal => {
                self.at = end;
                let to = self.value()?;
                Ok(Condition::Compared { name, equal: token == Token::Equal, to })
            }
            Token::In => {
                self.at = end;
                Ok(Condition::OneOf { name, values: self.list()? })
            }
            Token::And
            | Token::Or
            | Token::Not
            | Token::Has
            | Token::Open
            | Token::Close
            | Token::OpenList
            | Token::CloseList
            | Token::Comma
            | Token::Name(_)
            | Token::Value(_)
            | Token::End => Err(self.unexpected("one of == != < <= > >= and \"in\"", &token)),
        }
    }

    fn list(&mut self) -> Result<Vec<AttributeValue>, InvalidAccess> {
        self.expect(&Token::OpenList, "\"[\"")?;
        let mut values = vec![self.value()?];
        while self.take_if(&Token::Comma)? {
            values.push(self.value()?);
        }
        self.expect(&Token::CloseList, "\",\" or \"]\"")?;
        Ok(values)
    }

    fn name(&mut self, wanted: &'static str) -> Result<AttributeName, InvalidAccess> {
        match self.peek()? {
            (Token::Name(word), end) => {
                self.at = end;
                AttributeName::of_word(word)
            }
            (token, _) => Err(self.unexpected(wanted, &token)),
        }
    }

    fn number(&mut self) -> Result<Number, InvalidAccess> {
        match self.peek()? {
            (Token::Value(AttributeValue::Number(number)), end) => {
                self.at = end;
                Ok(number)
            }
            (token, _) => Err(self.unexpected("a number", &token)),
        }
    }

    fn value(&mut self) -> Result<AttributeValue, InvalidAccess> {
        match self.peek()? {
            (Token::Value(value), end) => {
                self.at = end;
                Ok(value)
            }
            (token, _) => Err(self.unexpected("a number, true, false or a \"string\"", &token)),
        }
    }

    fn expect(&mut self, wanted: &Token<'_>, what: &'static str) -> Result<(), InvalidAccess> {
        if self.take_if(wanted)? {
            return Ok(());
        }
        let (token, _) = self.peek()?;
        Err(self.unexpected(what, &token))
    }

    fn take_if(&mut self, wanted: &Token<'_>) -> Result<bool, InvalidAccess> {
        let (token, end) = self.peek()?;
        let is_there = token == *wanted;
        if is_there {
            self.at = end;
        }
        Ok(is_there)
    }

    fn deeper(&mut self) -> Result<(), InvalidAccess> {
        self.depth += 1;
        if self.depth > MAX_RULE_DEPTH { Err(InvalidAccess::TooDeep) } else { Ok(()) }
    }

    fn count_comparison(&mut self) -> Result<(), InvalidAccess> {
        self.comparisons += 1;
        if self.comparisons > MAX_RULE_COMPARISONS {
            return Err(InvalidAccess::TooManyComparisons);
        }
        Ok(())
    }

    fn unexpected(&self, wanted: &'static str, token: &Token<'_>) -> InvalidAccess {
        let start = self.start();
        let found = match (token, self.peek()) {
            (Token::End, _) | (_, Err(_)) => "its end".to_owned(),
            (_, Ok((_, end))) => format!("{:?}", &self.text[start..end]),
        };
        InvalidAccess::Unexpected { wanted, found, at: start + 1 }
    }

    /// The start of the next token.
    fn start(&self) -> usize {
        self.text.len() - self.text[self.at..].trim_start_matches(is_space).len()
    }

    /// The next token, and where it ends.
    fn peek(&self) -> Result<(Token<'a>, usize), InvalidAccess> {
        let start = self.start();
        let rest = &self.text[start..];
        for (sign, token) in signs() {
            if rest.starts_with(sign) {
                return Ok((token, start + sign.len()));
            }
        }
        match rest.chars().next() {
            None => Ok((Token::End, start)),
            Some('"') => self.string(start),
            Some(first) if first == '-' || is_of_name(first) => {
                let len = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                Ok((word(&rest[..len], start)?, start + len))
            }
            Some(other) => Err(InvalidAccess::Unexpected {
                wanted: "words, numbers, strings and signs of the grammar",
                found: format!("{other:?}"),
                at: start + 1,
            }),
        }
    }

    /// A string, whose opening quote is at `start`.
    fn string(&self, start: usize) -> Result<(Token<'a>, usize), InvalidAccess> {
        let mut text = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            let at = start + 1 + at;
            match c {
                '"' if text.len() > MAX_ATTRIBUTE_VALUE_BYTES => {
                    return Err(InvalidAccess::LongString(text.len()));
                }
                '"' => return Ok((Token::Value(AttributeValue::Text(text)), at + 1)),
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, other)) => {
                        let found = format!("\\{}", other.escape_debug());
                        return Err(InvalidAccess::Character { found, at: at + 1 });
                    }
                    None => break,
                },
                c if c.is_control() || is_hidden(c) => {
                    let found = c.escape_unicode().to_string();
                    return Err(InvalidAccess::Character { found, at: at + 1 });
                }
                c => text.push(c),
            }
        }
        Err(InvalidAccess::OpenString(start + 1))
    }
}

/// Signs, longer ones before their beginnings.
fn signs() -> [(&'static str, Token<'static>); 14] {
    [
        ("&&", Token::And),
        ("||", Token::Or),
        ("==", Token::Equal),
        ("!=", Token::Unequal),
        ("!", Token::Not),
        ("<=", Token::Order(Order::AtMost)),
        (">=", Token::Order(Order::AtLeast)),
        ("<", Token::Order(Order::Less)),
        (">", Token::Order(Order::More)),
        ("(", Token::Open),
        (")", Token::Close),
        ("[", Token::OpenList),
        ("]", Token::CloseList),
        (",", Token::Comma),
    ]
}

/// Characters that names, words and numbers are made of.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// A name, a word of the grammar or a number; it begins at byte `start`, counted from 0.
fn word(text: &str, start: usize) -> Result<Token<'_>, InvalidAccess> {
    if let Some(number) = Number::of_decimal(text) {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if digits > MAX_RULE_NUMBER_DIGITS {
            return Err(InvalidAccess::LongNumber(text.to_owned()));
        }
        return Ok(Token::Value(AttributeValue::Number(number)));
    }
    match text {
        "and" => Ok(Token::And),
        "or" => Ok(Token::Or),
        "not" => Ok(Token::Not),
        "has" => Ok(Token::Has),
        "in" => Ok(Token::In),
        "true" => Ok(Token::Value(AttributeValue::Truth(true))),
        "false" => Ok(Token::Value(AttributeValue::Truth(false))),
        name if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
            Ok(Token::Name(name))
        }
        other => Err(InvalidAccess::Unexpected {
            wanted: "a name or a number",
            found: format!("{other:?}"),
            at: start + 1,
        }),
    }
}
