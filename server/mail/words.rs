//! The words of each letter: what it says stands once, in a template, and is set as text and as HTML.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use sha2::{Digest as _, Sha256};

use crate::mail::letter::{Letter, Subject};
use crate::mail::mailer::Message;
use crate::mail::outbox::Waiting;
use crate::mail::plain::plain;
use crate::time::Timestamp;

/// What a template's name ends in whose values are escaped.
const HTML: &str = ".html";
const LETTER_HTML: &str = "letter.html";
const LETTER_TEXT: &str = "letter.txt";
/// Between what is said before the code and after it.
const PARTS: &str = "\n---\n";

/// The templates, by their names: two that set a letter, and what each says, by the name of its subject.
const TEMPLATES: [(&str, &str); 12] = [
    (LETTER_HTML, include_str!("templates/letter.html")),
    (LETTER_TEXT, include_str!("templates/letter.txt")),
    ("confirm_address", include_str!("templates/confirm_address.txt")),
    ("account_exists", include_str!("templates/account_exists.txt")),
    ("reset_password", include_str!("templates/reset_password.txt")),
    ("password_changed", include_str!("templates/password_changed.txt")),
    ("change_address", include_str!("templates/change_address.txt")),
    ("address_changed", include_str!("templates/address_changed.txt")),
    ("invitation", include_str!("templates/invitation.txt")),
    ("locked", include_str!("templates/locked.txt")),
    ("second_factor", include_str!("templates/second_factor.txt")),
    ("session_stolen", include_str!("templates/session_stolen.txt")),
];

/// Puts letters into words.
#[derive(Debug)]
pub struct Words {
    templates: Environment<'static>,
    link_base: Option<String>,
}

/// A template cannot be used, which is a mistake of ours.
#[derive(Debug, thiserror::Error)]
#[error("the words of a letter cannot be set: {0}")]
pub struct WordsError(#[from] minijinja::Error);

impl Words {
    /// Words whose links begin with `link_base`, an address without a `/` at its end. `None`: codes are to be copied.
    pub fn new(link_base: Option<String>) -> Result<Self, WordsError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|name| {
            if name.ends_with(HTML) { AutoEscape::Html } else { AutoEscape::None }
        });
        for (name, text) in TEMPLATES {
            templates.add_template(name, text)?;
        }
        Ok(Self { templates, link_base })
    }

    /// A waiting letter in its words.
    pub fn of(&self, waiting: &Waiting) -> Result<Message, WordsError> {
        let subject = &waiting.letter.subject;
        let said = self.said(&waiting.letter)?;
        let (before, after) = said.split_once(PARTS).unwrap_or((&said, ""));
        let (before, after) = (paragraphs(before), paragraphs(after));
        let heading = heading(subject);
        let action = self.action(subject);
        let letter = context! { heading, before, after, action };
        Ok(Message {
            id: message_id(&waiting.id),
            to: waiting.letter.to.clone(),
            subject: heading,
            text: self.templates.get_template(LETTER_TEXT)?.render(&letter)?,
            html: self.templates.get_template(LETTER_HTML)?.render(&letter)?,
            written_at: waiting.written_at,
        })
    }

    /// What a letter says, without its code: text, whose names are on one line each.
    fn said(&self, letter: &Letter) -> Result<String, WordsError> {
        let name = plain(&letter.name);
        let name = if name.is_empty() { name } else { format!(" {name}") };
        let template = self.templates.get_template(letter.subject.name())?;
        let said = match &letter.subject {
            Subject::ConfirmAddress { .. }
            | Subject::AccountExists
            | Subject::ResetPassword { .. }
            | Subject::ChangeAddress { .. } => template.render(context! { name }),
            Subject::PasswordChanged { at }
            | Subject::AddressChanged { at }
            | Subject::SessionStolen { at } => template.render(context! { name, at => moment(*at) }),
            Subject::Invitation { tenant, by, role, .. } => {
                let or = |name: &str, other: &str| {
                    let name = plain(name);
                    if name.is_empty() { other.to_owned() } else { name }
                };
                let (tenant, by) = (or(tenant, "a tenant"), or(by, "Somebody"));
                template.render(context! { tenant, by, role => plain(role) })
            }
            Subject::Locked { until, .. } => template.render(context! { name, until => moment(*until) }),
            Subject::SecondFactor { is_on, at } => {
                template.render(context! { name, is_on, at => moment(*at) })
            }
        };
        Ok(said?)
    }

    /// What a letter asks of its reader.
    fn action(&self, subject: &Subject) -> Option<Value> {
        let (label, page) = match subject {
            Subject::ConfirmAddress { .. } => ("Confirm the address", "confirm-address"),
            Subject::ResetPassword { .. } => ("Choose a new password", "reset-password"),
            Subject::ChangeAddress { .. } => ("Confirm the address", "confirm-address-change"),
            Subject::Invitation { .. } => ("Accept the invitation", "accept-invitation"),
            Subject::Locked { .. } => ("Unlock the account", "unlock"),
            Subject::AccountExists
            | Subject::PasswordChanged { .. }
            | Subject::AddressChanged { .. }
            | Subject::SecondFactor { .. }
            | Subject::SessionStolen { .. } => return None,
        };
        let (code, until) = subject.code()?;
        // After the `#`, because what stands there reaches no server's log and no third party.
        let link = self.link_base.as_ref().map(|base| format!("{base}/{page}#code={}", in_link(code)));
        Some(context! { label, code, link, until => moment(until) })
    }
}

const fn heading(subject: &Subject) -> &'static str {
    match subject {
        Subject::ConfirmAddress { .. } => "Confirm your address",
        Subject::AccountExists => "You have an account already",
        Subject::ResetPassword { .. } => "Choose a new password",
        Subject::PasswordChanged { .. } => "Your password was changed",
        Subject::ChangeAddress { .. } => "Confirm your new address",
        Subject::AddressChanged { .. } => "Your account has another address",
        Subject::Invitation { .. } => "You are invited",
        Subject::Locked { .. } => "Too many wrong passwords",
        Subject::SecondFactor { is_on: true, .. } => "Your account has a second factor",
        Subject::SecondFactor { is_on: false, .. } => "Your second factor was taken away",
        Subject::SessionStolen { .. } => "A session of yours was ended",
    }
}

fn paragraphs(text: &str) -> Vec<String> {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.trim().to_owned());
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect()
}

/// The letter's id from the outbox may be made of anything; a header and a file name take letters and digits.
fn message_id(id: &str) -> String {
    Sha256::digest(id).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros())
        .map_or_else(|_| at.to_string(), |at| at.strftime("%-d %B %Y, %H:%M UTC").to_string())
}

/// A code as a link can carry it.
fn in_link(code: &str) -> String {
    let mut text = String::new();
    for byte in code.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
