//! What a program's source says about how it is run: a glance, not a parser.

/// Ports a server of a person's may listen on.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=65535;

/// The first port that follows one of these words on a line, as in `listen(3000)`,
/// `process.env.PORT || 3000`, `"127.0.0.1:8080"`.
pub(super) fn port(source: &str, words: &[&str]) -> Option<u16> {
    let lines = source.lines().filter(|line| !is_comment(line));
    lines
        .flat_map(|line| words.iter().filter_map(move |word| after(line, word)))
        .find_map(number)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with('#') || line.starts_with('*')
}

fn after<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    line.split_once(word).map(|(_, rest)| rest)
}

/// The first number on the rest of a line that can be a port.
fn number(rest: &str) -> Option<u16> {
    let digits = rest.split(|c: char| !c.is_ascii_digit());
    let mut numbers = digits.filter_map(|digits| digits.parse::<u16>().ok());
    numbers.find(|number| PORTS.contains(number))
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn ports_are_found_where_servers_name_them() {
        let cases = [
            ("app.listen(3000, () => {})", Some(3000)),
            ("const port = process.env.PORT || 8081;", Some(8081)),
            (
                "var port = normalizePort(process.env.PORT || '3000');",
                Some(3000),
            ),
            ("let l = TcpListener::bind(\"127.0.0.1:7878\");", Some(7878)),
            ("// listen(1234)", None),
            ("app.listen(port)", None),
            ("listen(80)", None),
        ];
        for (source, expected) in cases {
            let found = port(source, &["listen(", "PORT", "bind("]);
            assert_eq!(found, expected, "{source}");
        }
    }
}
