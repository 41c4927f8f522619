//! Access rules against a model: whatever is written, printed and checked.

use proptest::prelude::*;
use tribune_protocol::domain::access::{Access, Credentials};
use tribune_protocol::domain::attributes::{AttributeValue, Attributes, Number};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_parsed_to_the_same(model in model(), style in any::<u64>()) {
        // The limits refuse some of these; their own tests say which.
        if let Ok(access) = model.text(&mut Style(style)).parse::<Access>() {
            let text = access.to_string();
            prop_assert_eq!(text.parse::<Access>(), Ok(access));
            prop_assert_eq!(text.parse::<Access>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_rule_holds_as_the_model_does(
        model in model(),
        style in any::<u64>(),
        said in attributes(),
    ) {
        if let Ok(access) = model.text(&mut Style(style)).parse::<Access>() {
            let holds = access.check(&Credentials::Token(&said)).is_ok();
            prop_assert_eq!(holds, model.truth(&said) == Some(true), "{} for {:?}", access, said);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        parse_or_refuse(&text)?;
    }

    #[test]
    fn any_pieces_of_the_grammar_are_parsed_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..60),
    ) {
        parse_or_refuse(&pieces.concat())?;
        parse_or_refuse(&pieces.join(" "))?;
    }
}

const PIECES: [&str; 34] = [
    "a",
    "b",
    "and",
    "or",
    "not",
    "has",
    "in",
    "true",
    "false",
    "(",
    ")",
    "[",
    "]",
    ",",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "!",
    "1",
    "-2.5",
    "\"",
    "\"x\"",
    "\\",
    "-",
    "é",
    "\u{202e}",
    "open",
    "\t",
    "0000000000000001",
];

fn parse_or_refuse(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Access>() {
        Ok(access) => prop_assert_eq!(access.to_string().parse::<Access>(), Ok(access)),
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    Ok(())
}

/// A rule as a tree of its own, with three truths as SPEC.md section 14 has them.
#[derive(Debug, Clone)]
enum Model {
    Has(&'static str),
    Number(&'static str, &'static str, i32),
    Text(&'static str, &'static str, &'static str),
    Truth(&'static str, &'static str, bool),
    In(&'static str, Vec<&'static str>),
    Not(Box<Model>),
    And(Box<Model>, Box<Model>),
    Or(Box<Model>, Box<Model>),
}

fn name() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec!["a", "b", "c-d", "inner", "and.or"])
}

fn text() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec!["", "red", "2", "-1.5", "true", "é \\ \"x\""])
}

fn model() -> impl Strategy<Value = Model> {
    let equality = || prop::sample::select(vec!["==", "!="]);
    let order = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        name().prop_map(Model::Has),
        (name(), order, -3..3i32).prop_map(|(name, sign, half)| Model::Number(name, sign, half)),
        (name(), equality(), text()).prop_map(|(name, sign, text)| Model::Text(name, sign, text)),
        (name(), equality(), any::<bool>())
            .prop_map(|(name, sign, truth)| Model::Truth(name, sign, truth)),
        (name(), prop::collection::vec(text(), 1..4))
            .prop_map(|(name, texts)| Model::In(name, texts)),
    ];
    leaf.prop_recursive(6, 16, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Model::Not(Box::new(part))),
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Model::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner)
                .prop_map(|(left, right)| Model::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let number = |half: i32| Number::try_from(f64::from(half) / 2.0).expect("it is finite");
    let value = prop_oneof![
        text().prop_map(AttributeValue::from),
        any::<bool>().prop_map(AttributeValue::from),
        (-3..3i32).prop_map(move |half| AttributeValue::Number(number(half))),
    ];
    prop::collection::btree_map(name(), value, 0..5).prop_map(|map| {
        let mut attributes = Attributes::default();
        for (name, value) in map {
            attributes.insert(name.to_owned(), value).expect("it is within the limits");
        }
        attributes
    })
}

/// Coins for how something is written, out of one number.
struct Style(u64);

impl Style {
    fn either(&mut self, one: &'static str, other: &'static str) -> &'static str {
        self.0 = self.0.rotate_right(1);
        if self.0 & 1 == 0 { one } else { other }
    }
}

impl Model {
    /// The model as text: words or signs, with the parentheses it needs and perhaps more.
    fn text(&self, style: &mut Style) -> String {
        match self {
            Self::Has(name) => format!("has {name}"),
            Self::Number(name, sign, half) => {
                let space = style.either("", " ");
                format!("{name}{space}{sign}{space}{}", f64::from(*half) / 2.0)
            }
            Self::Text(name, sign, text) => format!("{name} {sign}{}", quoted(text)),
            Self::Truth(name, sign, truth) => format!("{name} {sign} {truth}"),
            Self::In(name, texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                format!("{name} in[{}]", texts.join(style.either(",", " , ")))
            }
            Self::Not(part) => format!("{}({})", style.either("not", "!"), part.text(style)),
            Self::And(left, right) => {
                let (left, right) = (left.factor(style), right.factor(style));
                format!("{left} {} {right}", style.either("and", "&&"))
            }
            Self::Or(left, right) => {
                let (left, right) = (left.text(style), right.text(style));
                format!("{left} {} {right}", style.either("or", "||"))
            }
        }
    }

    fn factor(&self, style: &mut Style) -> String {
        let text = self.text(style);
        let bare = match self {
            Self::Or(..) => false,
            Self::Has(_)
            | Self::Number(..)
            | Self::Text(..)
            | Self::Truth(..)
            | Self::In(..)
            | Self::Not(_)
            | Self::And(..) => style.either("", "(").is_empty(),
        };
        if bare { text } else { format!("({text})") }
    }

    /// True, false, or neither.
    fn truth(&self, said: &Attributes) -> Option<bool> {
        let by_sign = |sign: &str, equal: bool| if sign == "==" { equal } else { !equal };
        match self {
            Self::Has(name) => Some(said.get(name).is_some()),
            Self::Number(name, sign, half) => {
                let number = match said.get(name)? {
                    AttributeValue::Number(number) => number.get(),
                    // None of the texts is a number of another notation.
                    AttributeValue::Text(text) => text.parse::<f64>().ok()?,
                    AttributeValue::Truth(_) => return None,
                };
                let than = f64::from(*half) / 2.0;
                Some(match *sign {
                    "<" => number < than,
                    "<=" => number <= than,
                    ">" => number > than,
                    ">=" => number >= than,
                    sign => by_sign(sign, number == than),
                })
            }
            Self::Text(name, sign, text) => match said.get(name)? {
                AttributeValue::Text(said) => Some(by_sign(sign, said == text)),
                AttributeValue::Number(_) | AttributeValue::Truth(_) => None,
            },
            Self::Truth(name, sign, truth) => {
                let said = match said.get(name)? {
                    AttributeValue::Truth(said) => *said,
                    AttributeValue::Text(text) if text == "true" => true,
                    AttributeValue::Text(text) if text == "false" => false,
                    AttributeValue::Text(_) | AttributeValue::Number(_) => return None,
                };
                Some(by_sign(sign, said == *truth))
            }
            Self::In(name, texts) => {
                let equal = |text: &&'static str| Self::Text(name, "==", text).truth(said);
                texts.iter().map(equal).reduce(or).flatten()
            }
            Self::Not(part) => part.truth(said).map(|truth| !truth),
            Self::And(left, right) => {
                or(left.truth(said).map(|it| !it), right.truth(said).map(|it| !it)).map(|it| !it)
            }
            Self::Or(left, right) => or(left.truth(said), right.truth(said)),
        }
    }
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (None, _) | (_, None) => None,
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
