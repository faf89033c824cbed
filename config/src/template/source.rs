//! What a program's source says about how it is run: a glance, not a parser.

/// Ports a server of a person's may listen on.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=65535;

/// Ports where databases and queues listen, which programs connect to.
const OF_OTHERS: [u16; 9] = [1433, 1521, 3306, 5432, 5672, 6379, 9092, 11211, 27017];

/// What stands before `PORT` in names of a server's own port.
const OWN: [&str; 8] = [
    "APP_",
    "SERVER_",
    "HTTP_",
    "WEB_",
    "API_",
    "FLASK_",
    "FLASK_RUN_",
    "LISTEN_",
];

/// What a line names that speaks of another server, or of an address that is asked.
const OTHERS: [&str; 11] = [
    "redis", "postgres", "mysql", "maria", "mongo", "amqp", "rabbit", "kafka", "memcache", "smtp",
    "://",
];

/// The first port that follows one of the `named` words on a line, as in `listen(3000)`,
/// `process.env.PORT || 3000`, `"127.0.0.1:8080"`: of the lines with a `serving` word, else of those
/// that speak of no other server.
pub(super) fn port(source: &str, serving: &[&str], named: &[&str]) -> Option<u16> {
    let lines = || source.lines().filter(|line| !is_comment(line));
    let serves = |line: &&str| serving.iter().any(|word| line.contains(word));
    let said = |line: &str| {
        named
            .iter()
            .filter_map(|word| after(line, word))
            .find_map(|rest| number(argument(rest)))
    };
    let of_others = |line: &&str| {
        let line = line.to_lowercase();
        OTHERS.iter().any(|other| line.contains(other))
    };
    let rest = || {
        let lines = lines().filter(|line| !of_others(line));
        lines
            .filter_map(said)
            .find(|port| !OF_OTHERS.contains(port))
    };
    lines().filter(serves).find_map(said).or_else(rest)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with('#') || line.starts_with('*')
}

/// What follows a word that is no part of a longer one, such as `DB_PORT`; but for names of a server's own
/// port, such as `APP_PORT`.
fn after<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let goes_on = |left: Option<char>, right: Option<char>| {
        left.is_some_and(in_name) && right.is_some_and(in_name)
    };
    line.match_indices(word).find_map(|(at, found)| {
        let (before, rest) = (line.get(..at)?, line.get(at + found.len()..)?);
        let name = before.rsplit(|c| !in_name(c)).next().unwrap_or_default();
        let longer = goes_on(before.chars().next_back(), word.chars().next())
            && !(word == "PORT" && OWN.contains(&name));
        let longer = longer || goes_on(word.chars().next_back(), rest.chars().next());
        (!longer).then_some(rest)
    })
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is said of a word where it is found: up to the next argument of a call. After a quoted name or address
/// that is the next argument, as in `get("PORT", 8080)`.
fn argument(rest: &str) -> &str {
    let quoted = rest.strip_prefix(['"', '\'', '`']);
    let next = quoted.and_then(|after| after.trim_start().strip_prefix(','));
    let rest = next.unwrap_or(rest);
    let mut depth = 0;
    let end = rest.find(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        depth < 0 || (depth == 0 && c == ',')
    });
    &rest[..end.unwrap_or(rest.len())]
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
            ("PORT = 8000\nlisten(port=PORT, backlog=2048)", Some(8000)),
            (
                "const PORT = env.PORT || 3000\nlisten(PORT, () => setInterval(ping, 5000))",
                Some(3000),
            ),
            ("P = get(\"SERVER_PORT\", 8080)\nlisten(P)", Some(8080)),
            ("listen(int(get(\"PORT\", 8080)), 1024)", Some(8080)),
        ];
        for (source, expected) in cases {
            let found = port(source, &["listen("], &["listen(", "PORT", "bind("]);
            assert_eq!(found, expected, "{source}");
        }
    }

    #[test]
    fn ports_of_other_servers_are_not_taken() {
        let cases = [
            ("process.env.DB_PORT || 5433\napp.listen(3000)", Some(3000)),
            ("const db = PORT || 5432\napp.listen(port)", None),
            ("env.DB_PORT || 8432", None),
            ("env.PGPORT || 8432", None),
            ("PORTS = 8432", None),
            ("Redis(port=7379)\nrun(port=8000)", Some(8000)),
            ("redis = Redis(\"localhost\", port=7379)", None),
            ("port=6379", None),
            ("db_port=8432", None),
            ("url = \"http://localhost:3000\"", None),
            ("# run(port=1234)\nport=8000", Some(8000)),
            (
                "listen(3000, () => log(`http://localhost:${PORT}`))",
                Some(3000),
            ),
        ];
        for (source, expected) in cases {
            let named = ["listen(", "port=", "PORT", "localhost"];
            let found = port(source, &["listen(", "run("], &named);
            assert_eq!(found, expected, "{source}");
        }
    }
}
