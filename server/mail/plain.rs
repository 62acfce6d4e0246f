//! Names as letters say them: they are somebody's text, and a letter must not become theirs.

/// The longest name that is said, in characters.
const CHARACTERS_MAX: usize = 60;

/// A name on one line, from which no reader makes a link or an address: whoever makes an account with a stranger's address
/// chooses the name, and would otherwise send that stranger what they like.
#[must_use]
pub fn plain(name: &str) -> String {
    let mut said = String::new();
    let mut letters = name.chars().filter(|letter| !is_hidden(*letter)).peekable();
    while let Some(letter) = letters.next() {
        let is_between = letters.peek().is_some_and(|next| !next.is_whitespace());
        match letter {
            _ if letter.is_whitespace() || letter.is_control() => said.push(' '),
            ':' | '/' | '\\' | '@' | '：' | '／' | '＠' | '<' | '>' => said.push(' '),
            // A stop inside of a word makes a domain of it. The other three are stops in domains too.
            '.' | '。' | '．' | '｡' | '․' if is_between => said.push('·'),
            letter => said.push(letter),
        }
    }
    let words: Vec<&str> = said.split(' ').filter(|word| !word.is_empty()).collect();
    let said = words.join(" ");
    match said.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", said.get(..end).unwrap_or_default().trim_end()),
        None => said,
    }
}

/// What is not seen, or turns the direction of what is.
const fn is_hidden(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        let check = |name: &str, expected: &str| assert_eq!(plain(name), expected, "{name:?}");
        check("", "");
        check("Ada Lovelace", "Ada Lovelace");
        check("  Ada \t Lovelace\u{a0}", "Ada Lovelace");
        check("J. R. R. Tolkien", "J. R. R. Tolkien");
        check("Acme Inc.", "Acme Inc.");
        check("Ваня & Åsa <3", "Ваня & Åsa 3");
        check("win: https://evil.example/now", "win https evil·example now");
        check("www.evil.example", "www·evil·example");
        check("evil。example", "evil·example");
        check("a@evil.example", "a evil·example");
        check("Ada\r\nBcc: b@example.com\r\n\r\nDear", "Ada Bcc b example·com Dear");
        check("\u{202e}adA\u{200b}.\u{200b}example", "adA·example");
        check(&"a".repeat(61), &format!("{}…", "a".repeat(60)));
        check(&"ä".repeat(60), &"ä".repeat(60));
    }
}
