//! The ids of reservations: made from the event that opens one, so that a retry gets the same and an end finds its event.

use crate::gate::call::EventKey;

const PREFIX: &str = "res_";

/// The id of the reservation that an event opens.
#[must_use]
pub fn of(event: EventKey) -> String {
    format!("{PREFIX}{:032x}", event.0)
}

/// The event that opened a reservation. `None`: no reservation has this id.
#[must_use]
pub fn event(reservation: &str) -> Option<EventKey> {
    let digits = reservation.strip_prefix(PREFIX)?;
    let ours = digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u128::from_str_radix(digits, 16).ok().map(EventKey)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_event() {
        for key in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(event(&of(EventKey(key))), Some(EventKey(key)));
        }
    }

    #[test]
    fn other_text_is_no_reservation() {
        for text in [
            "",
            "res_",
            "res_1",
            "res_0000000000000000000000000000000G",
            "evt_00000000000000000000000000000000",
        ] {
            assert_eq!(event(text), None, "{text}");
        }
        assert_eq!(event("res_+000000000000000000000000000000f"), None);
    }
}
