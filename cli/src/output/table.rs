//! Columns that line up.

use super::style::{Style, Tint, tame};

/// One cell: its text and how it stands out.
#[derive(Clone, Debug)]
pub(crate) struct Cell(String, Option<Tint>);

impl Cell {
    /// Makes a plain cell.
    pub(crate) fn new(text: impl ToString) -> Self {
        Self(tame(&text.to_string(), false), None)
    }

    /// Makes a cell that stands out.
    pub(crate) fn tinted(text: impl ToString, tint: Tint) -> Self {
        Self(Self::new(text).0, Some(tint))
    }

    /// Makes a cell of something that may be absent.
    pub(crate) fn maybe(value: Option<impl ToString>) -> Self {
        value.map_or_else(|| Self::tinted("-", Tint::Dim), Self::new)
    }
}

/// Lays out rows below a header; the last column is not padded.
pub(crate) fn table(header: &[&str], rows: &[Vec<Cell>], style: Style) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.0.chars().count());
        cells
            .chain([header[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let head: Vec<Cell> = header
        .iter()
        .map(|name| Cell::tinted(name, Tint::Dim))
        .collect();
    let mut out = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (index, Cell(text, tint)) in row.iter().enumerate() {
            let last = index + 1 == row.len();
            let pad = if last {
                0
            } else {
                widths[index] + 2 - text.chars().count()
            };
            line.push_str(&tint.map_or_else(|| text.clone(), |tint| style.paint(tint, text)));
            line.extend(std::iter::repeat_n(' ', pad));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_and_without_colours() {
        let rows = vec![
            vec![
                Cell::new("web"),
                Cell::tinted("ready", Tint::Good),
                Cell::maybe(Some(5000)),
            ],
            vec![
                Cell::new("worker"),
                Cell::new("ß"),
                Cell::maybe(None::<u16>),
            ],
        ];
        let plain = table(&["NAME", "STATE", "PORT"], &rows, Style::new(false));
        assert_eq!(
            plain,
            "NAME    STATE  PORT\nweb     ready  5000\nworker  ß      -\n"
        );
        let coloured = table(&["NAME", "STATE", "PORT"], &rows, Style::new(true));
        let bare: Vec<String> = coloured.lines().map(|line| tame(line, false)).collect();
        assert_eq!(bare.join("\n") + "\n", plain);
    }
}
