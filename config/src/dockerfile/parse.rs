//! From the arguments of an instruction to what they say.

use std::ops::Range;

use super::grammar::{KEYWORDS, example, known_flags};
use super::heredoc::raw_words;
use super::instruction::{Flag, Form, Instruction, Kind};
use super::lex::Logical;
use crate::error::{ConfigError, Problem};
use crate::keys;
use crate::source::Source;

/// Takes an instruction apart.
///
/// # Errors
/// An unknown instruction or flag, missing arguments, or arguments of another shape, with its place.
pub(crate) fn parse(
    source: &Source,
    logical: &Logical,
    escape: char,
) -> Result<Instruction, ConfigError> {
    let (flags, rest) = flags(source, logical)?;
    let args = logical.args.get(rest..).unwrap_or_default();
    let joints = logical
        .pieces
        .iter()
        .filter_map(|(at, _)| at.checked_sub(rest));
    let joints = joints.filter(|at| *at > 0 && *at < args.len()).collect();
    let parts = Parts {
        source,
        logical,
        args,
        escape,
    };
    let kind = parts.kind()?;
    Ok(Instruction {
        kind,
        flags,
        heredocs: logical.heredocs.clone(),
        joints,
        span: logical.span.clone(),
    })
}

fn error(source: &Source, span: Range<usize>, message: String, hint: String) -> ConfigError {
    source.error(span, Problem::Import { message, hint })
}

/// Reads the flags; also gives where the arguments after them begin.
fn flags(source: &Source, logical: &Logical) -> Result<(Vec<Flag>, usize), ConfigError> {
    let known = known_flags(&logical.keyword);
    let mut flags = Vec::new();
    let mut rest = 0;
    if known.is_empty() {
        return Ok((flags, rest));
    }
    for range in raw_words(&logical.args) {
        let word = logical.args.get(range.clone()).unwrap_or_default();
        rest = range.start;
        let Some(flag) = word.strip_prefix("--") else {
            return Ok((flags, rest));
        };
        rest = range.end;
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        if !known.contains(&name) {
            let message = format!("{} has no flag `--{name}`", logical.keyword);
            let hint = keys::name_advice(name, known.iter().copied());
            return Err(error(source, logical.span_of(range), message, hint));
        }
        flags.push(Flag {
            name: name.to_owned(),
            value: value.to_owned(),
        });
    }
    Ok((flags, rest))
}

struct Parts<'a> {
    source: &'a Source,
    logical: &'a Logical,
    args: &'a str,
    escape: char,
}

impl Parts<'_> {
    fn wrong(&self, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        error(
            self.source,
            self.logical.span.clone(),
            message.into(),
            hint.into(),
        )
    }

    fn kind(&self) -> Result<Kind, ConfigError> {
        let keyword = self.logical.keyword.as_str();
        if !KEYWORDS.contains(&keyword) {
            let hint = keys::name_advice(keyword, KEYWORDS.into_iter());
            return Err(self.wrong(format!("unknown instruction `{keyword}`"), hint));
        }
        let may_be_empty = ["CMD", "ENTRYPOINT"].contains(&keyword);
        if self.args.trim().is_empty() && !may_be_empty {
            return Err(self.wrong(format!("{keyword} lacks its argument"), example(keyword)));
        }
        Ok(match keyword {
            "FROM" => self.from()?,
            "ARG" => Kind::Arg(self.args_of_arg()?),
            "ENV" => Kind::Env(self.pairs()?),
            "RUN" => Kind::Run(self.form()),
            "CMD" => Kind::Cmd(self.form()),
            "ENTRYPOINT" => Kind::Entrypoint(self.form()),
            "COPY" | "ADD" => self.copy(keyword == "ADD")?,
            "WORKDIR" => Kind::Workdir(self.args.to_owned()),
            "USER" => Kind::User(self.args.to_owned()),
            "EXPOSE" => Kind::Expose(self.words()),
            "VOLUME" => Kind::Volume(self.list()),
            "SHELL" => Kind::Shell(self.shell()?),
            "STOPSIGNAL" => Kind::StopSignal(self.args.to_owned()),
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            "ONBUILD" => self.on_build()?,
            _ => Kind::Metadata,
        })
    }

    fn words(&self) -> Vec<String> {
        let words = raw_words(self.args).into_iter();
        words
            .filter_map(|range| self.args.get(range).map(str::to_owned))
            .collect()
    }

    /// A JSON list, else words.
    fn list(&self) -> Vec<String> {
        json_list(self.args).unwrap_or_else(|| self.words())
    }

    fn form(&self) -> Form {
        match json_list(self.args) {
            Some(words) => Form::Exec(words),
            None => Form::Shell(self.args.to_owned()),
        }
    }

    fn from(&self) -> Result<Kind, ConfigError> {
        let words = self.words();
        let name = match words.as_slice() {
            [_] => None,
            [_, word, name] if word.eq_ignore_ascii_case("as") => Some(name.to_lowercase()),
            _ => return Err(self.wrong("FROM takes `IMAGE [AS NAME]`", example("FROM"))),
        };
        let image = words.into_iter().next().unwrap_or_default();
        Ok(Kind::From { image, name })
    }

    fn args_of_arg(&self) -> Result<Vec<(String, Option<String>)>, ConfigError> {
        let mut all = Vec::new();
        for word in self.words() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            self.variable_name(name)?;
            all.push((name.to_owned(), value));
        }
        Ok(all)
    }

    fn variable_name(&self, name: &str) -> Result<(), ConfigError> {
        let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '$' | '\\' | '\0');
        if name.is_empty() || !name.chars().all(plain) {
            let keyword = &self.logical.keyword;
            return Err(self.wrong(format!("{name:?} is no variable name"), example(keyword)));
        }
        Ok(())
    }

    /// `a=b c=d`, or the old form `a value to the end`.
    fn pairs(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let words = self.words();
        let first = words.first().map_or("", String::as_str);
        if !first.contains('=') {
            let value = self.args.get(first.len()..).unwrap_or_default().trim();
            if value.is_empty() {
                return Err(self.wrong("ENV takes `NAME=VALUE …`", example("ENV")));
            }
            self.variable_name(first)?;
            return Ok(vec![(first.to_owned(), value.to_owned())]);
        }
        let mut pairs = Vec::new();
        for word in &words {
            let Some((name, value)) = word.split_once('=') else {
                return Err(self.wrong(format!("{word:?} is no `NAME=VALUE`"), example("ENV")));
            };
            self.variable_name(name)?;
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(pairs)
    }

    fn copy(&self, add: bool) -> Result<Kind, ConfigError> {
        let mut sources = self.list();
        let dest = sources.pop().unwrap_or_default();
        if sources.is_empty() {
            let keyword = &self.logical.keyword;
            return Err(self.wrong(format!("{keyword} takes `SOURCE … DEST`"), example(keyword)));
        }
        Ok(Kind::Copy { add, sources, dest })
    }

    fn shell(&self) -> Result<Vec<String>, ConfigError> {
        match json_list(self.args) {
            Some(words) if !words.is_empty() => Ok(words),
            _ => Err(self.wrong("SHELL takes a list", example("SHELL"))),
        }
    }

    fn healthcheck(&self) -> Result<Option<Form>, ConfigError> {
        let words = self.words();
        let first = words.first().map_or("", String::as_str);
        match first.to_uppercase().as_str() {
            "NONE" if words.len() == 1 => Ok(None),
            "CMD" => {
                let args = self.args.get(first.len()..).unwrap_or_default().trim();
                if args.is_empty() {
                    return Err(
                        self.wrong("HEALTHCHECK CMD lacks its command", example("HEALTHCHECK"))
                    );
                }
                Ok(Some(Parts { args, ..*self }.form()))
            }
            _ => Err(self.wrong(
                "HEALTHCHECK takes `NONE` or `CMD …`",
                example("HEALTHCHECK"),
            )),
        }
    }

    fn on_build(&self) -> Result<Kind, ConfigError> {
        let keyword = self.words().into_iter().next().unwrap_or_default();
        let upper = keyword.to_uppercase();
        if ["ONBUILD", "FROM", "MAINTAINER"].contains(&upper.as_str()) {
            return Err(self.wrong(format!("ONBUILD cannot hold {upper}"), example("ONBUILD")));
        }
        let rest = self.args.get(keyword.len()..).unwrap_or_default();
        let shift = self.args.len() - rest.trim_start().len();
        let pieces = self.logical.pieces.iter();
        let pieces = pieces
            .map(|(at, source)| (at.saturating_sub(shift), source + shift.saturating_sub(*at)));
        let inner = Logical {
            keyword: upper,
            args: rest.trim_start().to_owned(),
            pieces: pieces.collect(),
            heredocs: self.logical.heredocs.clone(),
            span: self.logical.span.clone(),
        };
        Ok(Kind::OnBuild(Box::new(parse(
            self.source,
            &inner,
            self.escape,
        )?)))
    }
}

/// Reads a JSON list of strings; anything else is for the shell.
pub(crate) fn json_list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::lex::lex;

    fn one(text: &str) -> Result<Instruction, String> {
        let source = Source::new("D", text);
        let lexed = lex(&source, text).map_err(|e| e.to_string())?;
        parse(&source, &lexed.instructions[0], lexed.escape).map_err(|e| e.to_string())
    }

    #[test]
    fn each_instruction_is_taken_apart() {
        let text = |line: &str| one(line).unwrap().kind;
        let s = |text: &str| text.to_owned();
        assert_eq!(
            text("FROM --platform=$BUILDPLATFORM a:1 as Build"),
            Kind::From {
                image: s("a:1"),
                name: Some(s("build"))
            }
        );
        assert_eq!(
            text("ENV A=1 B=\"x y\""),
            Kind::Env(vec![(s("A"), s("1")), (s("B"), s("\"x y\""))])
        );
        assert_eq!(text("ENV A b  c"), Kind::Env(vec![(s("A"), s("b  c"))]));
        assert_eq!(
            text("CMD [ \"a\", \"b\" ]"),
            Kind::Cmd(Form::Exec(vec![s("a"), s("b")]))
        );
        assert_eq!(text("CMD ['a']"), Kind::Cmd(Form::Shell(s("['a']"))));
        assert_eq!(text("CMD"), Kind::Cmd(Form::Shell(s(""))));
        assert_eq!(text("HEALTHCHECK none"), Kind::Healthcheck(None));
        let check = one("HEALTHCHECK --interval=5s CMD curl x").unwrap();
        assert_eq!(
            check.kind,
            Kind::Healthcheck(Some(Form::Shell(s("curl x"))))
        );
        assert_eq!(check.flag("interval"), Some("5s"));
        let copy = one("COPY --chown=a:b --exclude=x --exclude=y a \"b c\" /d/").unwrap();
        assert_eq!(copy.all("exclude").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(
            copy.kind,
            Kind::Copy {
                add: false,
                sources: vec![s("a"), s("\"b c\"")],
                dest: s("/d/")
            }
        );
        let Kind::OnBuild(inner) = text("ONBUILD copy --chown=x . /app") else {
            panic!()
        };
        assert_eq!(inner.flag("chown"), Some("x"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("FORM x", "D:1:1: unknown instruction `FORM`"),
            ("FROM", "D:1:1: FROM lacks its argument"),
            ("FROM a b", "D:1:1: FROM takes `IMAGE [AS NAME]`"),
            ("COPY --chwon=a b c", "D:1:6: COPY has no flag `--chwon`"),
            ("COPY a", "D:1:1: COPY takes `SOURCE … DEST`"),
            (
                "HEALTHCHECK x",
                "D:1:1: HEALTHCHECK takes `NONE` or `CMD …`",
            ),
            ("SHELL bash", "D:1:1: SHELL takes a list"),
            ("ONBUILD FROM x", "D:1:1: ONBUILD cannot hold FROM"),
            ("ENV A", "D:1:1: ENV takes `NAME=VALUE …`"),
            ("ARG \"a b\"", "D:1:1: \"\\\"a b\\\"\" is no variable name"),
        ];
        for (text, expected) in cases {
            assert_eq!(one(text).unwrap_err(), expected, "{text}");
        }
    }
}
