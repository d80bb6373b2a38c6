//! What the manager and the process that refuses connections report to each other.

/// From the manager. The order is that of their precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// A worker is being started. The process does not see what that one accepts, so it treats no
    /// connection as overdue any more.
    Settle = b'S',
    /// The pool stops. Nothing more goes to the workers.
    Stop = b'T',
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fate {
    /// It was refused.
    Refused = b'R',
    /// It was closed: it had sent nothing.
    Silent = b'S',
    /// Its client had closed it.
    Closed = b'C',
    /// It is in the hand-over queue.
    HandedOver = b'P',
    /// It was closed, because a worker has shut down the hand-over queue.
    Lost = b'L',
}

const FATES: [Fate; 5] = [
    Fate::Refused,
    Fate::Silent,
    Fate::Closed,
    Fate::HandedOver,
    Fate::Lost,
];

/// From the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It has accepted a connection from the queue at this place.
    Accepted(usize, Fate),
    /// accept(2) failed with this errno.
    Failed(i32),
    /// It accepts no more.
    Done,
}

/// The bytes of a word: its kind, and a number.
pub(super) const WORD: usize = 4;

impl Word {
    pub(super) fn encode(self) -> [u8; WORD] {
        let (kind, number) = match self {
            Self::Accepted(place, fate) => (fate as u8, i32::try_from(place).unwrap_or(i32::MAX)),
            Self::Failed(errno) => (b'F', errno),
            Self::Done => (b'D', 0),
        };
        let [_, high, middle, low] = number.to_be_bytes();
        [kind, high, middle, low]
    }

    pub(super) fn decode([kind, high, middle, low]: [u8; WORD]) -> Option<Self> {
        let number = i32::from_be_bytes([0, high, middle, low]);
        match kind {
            b'F' => Some(Self::Failed(number)),
            b'D' => Some(Self::Done),
            _ => {
                let fate = FATES.into_iter().find(|fate| *fate as u8 == kind)?;
                Some(Self::Accepted(usize::try_from(number).ok()?, fate))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_after_encoding_and_decoding() {
        let accepted = FATES.map(|fate| [0, 1, 7].map(|place| Word::Accepted(place, fate)));
        let others = [Word::Failed(libc::ENFILE), Word::Done];
        for word in accepted.into_iter().flatten().chain(others) {
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        assert_eq!(Word::decode([0; WORD]), None);
    }
}
