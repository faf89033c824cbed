//! Typed reading of TOML tables, where every value knows its full name and place.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::duration;
use crate::error::{ConfigError, Problem};
use crate::keys::Keys;
use crate::path::inside_project;
use crate::size;
use crate::source::Source;

pub(crate) type Result<T, E = ConfigError> = std::result::Result<T, E>;

/// A table whose keys are being read.
pub(crate) struct Section<'a> {
    source: &'a Source,
    path: String,
    span: Range<usize>,
    table: &'a DeTable<'a>,
}

/// A value with its full name, e.g. `services.web.port` or `build.steps[2]`.
pub(crate) struct Item<'a> {
    source: &'a Source,
    path: String,
    key: String,
    key_span: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(source: &'a Source, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            source,
            path: String::new(),
            span: table.span(),
            table: table.get_ref(),
        }
    }

    /// How the table is called in messages.
    fn title(&self) -> String {
        if self.path.is_empty() {
            "hd.toml".to_owned()
        } else {
            format!("[{}]", self.path)
        }
    }

    /// Refuses the first key, in file order, that is unknown or does not work yet.
    pub(crate) fn check(&self, keys: &Keys) -> Result<()> {
        for item in self.items() {
            let key = item.key.as_str();
            if keys.known.contains(&key) {
                continue;
            }
            let later = keys.later.iter().find(|(name, _)| *name == key);
            let problem = match later {
                Some((_, hint)) => item.not_yet_problem(hint),
                None => Problem::UnknownKey {
                    key: key.to_owned(),
                    section: self.title(),
                    hint: keys.advice(key),
                },
            };
            return Err(self.source.error(item.key_span.clone(), problem));
        }
        Ok(())
    }

    /// All values in file order.
    pub(crate) fn items(&self) -> Vec<Item<'a>> {
        let entries = self.table.iter();
        let mut items: Vec<Item<'a>> = entries.map(|(key, value)| self.item(key, value)).collect();
        items.sort_by_key(|item| item.key_span.start);
        items
    }

    pub(crate) fn get(&self, key: &str) -> Option<Item<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(self.item(key, value))
    }

    pub(crate) fn require(&self, key: &'static str, hint: &str) -> Result<Item<'a>> {
        self.get(key).ok_or_else(|| {
            let problem = Problem::MissingKey {
                key,
                section: self.title(),
                hint: hint.to_owned(),
            };
            self.source.error(self.span.clone(), problem)
        })
    }

    /// Reads an optional key.
    pub(crate) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Item<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.get(key).as_ref().map(read).transpose()
    }

    fn item(&self, key: &Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        let name = key.get_ref().to_string();
        let path = if self.path.is_empty() {
            name.clone()
        } else {
            format!("{}.{name}", self.path)
        };
        Item {
            source: self.source,
            path,
            key: name,
            key_span: key.span(),
            value,
        }
    }
}

impl<'a> Item<'a> {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn key_span(&self) -> Range<usize> {
        self.key_span.clone()
    }

    pub(crate) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Tells a value in which variables were expanded: there a number may have become a string.
    pub(crate) fn is_expanded(&self) -> bool {
        self.source.text_at(self.value.span()).contains('$')
    }

    /// A problem with the value.
    pub(crate) fn error(&self, problem: Problem) -> ConfigError {
        self.source.error(self.value.span(), problem)
    }

    /// A problem with the key.
    pub(crate) fn key_error(&self, problem: Problem) -> ConfigError {
        self.source.error(self.key_span(), problem)
    }

    pub(crate) fn invalid(&self, why: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        self.error(Problem::Invalid {
            key: self.path.clone(),
            why: why.into(),
            hint: hint.into(),
        })
    }

    pub(crate) fn invalid_key(
        &self,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        self.key_error(Problem::Invalid {
            key: self.path.clone(),
            why: why.into(),
            hint: hint.into(),
        })
    }

    fn not_yet_problem(&self, hint: &str) -> Problem {
        Problem::NotYet {
            what: self.path.clone(),
            hint: hint.to_owned(),
        }
    }

    pub(crate) fn wrong_type(&self, expected: &str, hint: impl Into<String>) -> ConfigError {
        self.error(Problem::WrongType {
            key: self.path.clone(),
            expected: expected.to_owned(),
            found: kind(self.value()),
            hint: hint.into(),
        })
    }

    /// A string that says something: not blank, no NUL.
    pub(crate) fn text(&self) -> Result<&'a str> {
        let DeValue::String(text) = self.value() else {
            return Err(self.wrong_type("a string", ""));
        };
        self.checked(text)
    }

    fn checked(&self, text: &'a str) -> Result<&'a str> {
        if text.trim().is_empty() {
            return Err(self.invalid("it is empty", ""));
        }
        if text.contains('\0') {
            return Err(self.invalid("it holds a NUL byte", ""));
        }
        Ok(text)
    }

    /// The elements of a list of strings, named `key[0]`, `key[1]`, …
    pub(crate) fn elements(&self) -> Result<Vec<Item<'a>>> {
        let hint = match self.value() {
            DeValue::String(text) => format!("{} = [{text:?}]", self.key),
            _ => String::new(),
        };
        self.elements_of("a list of strings", &hint)
    }

    /// The elements of a list of anything; `expected` and `hint` say what it should have been.
    pub(crate) fn elements_of(&self, expected: &str, hint: &str) -> Result<Vec<Item<'a>>> {
        let DeValue::Array(array) = self.value() else {
            return Err(self.wrong_type(expected, hint));
        };
        let elements = array.iter().enumerate().map(|(at, value)| Item {
            source: self.source,
            path: format!("{}[{at}]", self.path),
            key: self.key.clone(),
            key_span: value.span(),
            value,
        });
        Ok(elements.collect())
    }

    /// A list of strings.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        let elements = self.elements()?;
        elements
            .iter()
            .map(|one| one.text().map(str::to_owned))
            .collect()
    }

    pub(crate) fn section(&self) -> Result<Section<'a>> {
        let DeValue::Table(table) = self.value() else {
            return Err(self.wrong_type("a table", ""));
        };
        Ok(Section {
            source: self.source,
            path: self.path.clone(),
            span: self.value.span(),
            table,
        })
    }

    pub(crate) fn integer(&self) -> Result<i128> {
        let DeValue::Integer(number) = self.value() else {
            return Err(self.wrong_type("a whole number", ""));
        };
        // More digits than 128 bits hold are out of every range asked for here.
        Ok(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX))
    }

    pub(crate) fn duration(&self) -> Result<Duration> {
        let example = "durations carry a unit: \"5s\", \"300ms\", \"1m30s\"";
        let DeValue::String(text) = self.value() else {
            return Err(self.wrong_type("a string with a unit", example));
        };
        duration::parse(text).map_err(|error| self.invalid(error.to_string(), example))
    }

    /// A size in bytes, written with a unit.
    pub(crate) fn size(&self) -> Result<u64> {
        let example = "sizes carry a unit: \"500MB\", \"20GiB\"";
        let DeValue::String(text) = self.value() else {
            return Err(self.wrong_type("a string with a unit", example));
        };
        size::parse(text).map_err(|error| self.invalid(error.to_string(), example))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool> {
        match self.value() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong_type("true or false", "")),
        }
    }

    /// A path inside the project, normalised; the project itself is not one.
    pub(crate) fn path_inside(&self) -> Result<String> {
        let path = inside_project(self.text()?).map_err(|why| self.invalid(why, ""))?;
        if path.is_empty() {
            return Err(self.invalid("it is the project itself", ""));
        }
        Ok(path)
    }

    /// One of several words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.invalid(
                format!("{text:?} is not known"),
                format!("one of {}", words.join(", ")),
            )
        })
    }
}

/// How a TOML type is called in messages.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
