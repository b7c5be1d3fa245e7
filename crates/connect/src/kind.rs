//! The kinds there are, by their words, and the one place where a word becomes a source.

pub mod memory;
pub mod timer;

use serde::Deserialize;

use crate::delivery::Delivery;
use crate::settings::ConfigError;
use crate::source::{Promise, Source};

/// A kind of trigger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// The calendar.
    Timer,
}

impl Kind {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 1] = [Self::Timer];

    /// Its word in the API: `triggerType`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Timer => "timer",
        }
    }

    /// The kind of this word.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKind`] with those there are.
    pub fn from_word(word: &str) -> Result<Self, ConfigError> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.word()).collect();
            ConfigError::UnknownKind { word: word.to_owned(), known: known.join(", ") }
        })
    }
}

/// What a user said of a trigger, by its kind; everything in it was checked.
#[derive(Clone, PartialEq, Debug)]
pub enum Settings {
    /// See [`timer`].
    Timer(timer::Settings),
}

/// How events become what the function is given, when the trigger does not say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// The data alone.
    Data,
    /// A CloudEvent.
    CloudEvent,
}

impl Settings {
    /// Reads a kind's JSON.
    ///
    /// # Errors
    /// With the path of the field that is wrong.
    pub fn read(kind: Kind, text: &str) -> Result<Self, ConfigError> {
        match kind {
            Kind::Timer => timer::Settings::read(text).map(Self::Timer),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Timer(_) => Kind::Timer,
        }
    }

    /// What it promises.
    pub const fn promise(&self) -> Promise {
        match self {
            Self::Timer(_) => Promise::ExactlyOnce,
        }
    }

    /// What its events look like.
    pub const fn shape(&self) -> Shape {
        match self {
            Self::Timer(_) => Shape::Data,
        }
    }

    /// Whether the settings themselves ask for it to fire.
    pub const fn is_enabled(&self) -> bool {
        match self {
            Self::Timer(timer) => timer.enable,
        }
    }

    /// The options of delivery that the settings themselves bring, when none are said beside them.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Timer(_) => Delivery::default(),
        }
    }

    /// Whether its events come in as requests.
    pub const fn is_door(&self) -> bool {
        match self {
            Self::Timer(_) => false,
        }
    }

    /// Whether an event is passed over while the task of the one before is not done.
    pub fn skips_overlap(&self) -> bool {
        match self {
            Self::Timer(timer) => timer.overlap == timer::Overlap::Skip,
        }
    }

    /// Whether a qualifier has one such trigger at most.
    pub const fn is_single(&self) -> bool {
        match self {
            Self::Timer(_) => false,
        }
    }

    /// Whether its configuration never changes.
    pub const fn is_fixed(&self) -> bool {
        match self {
            Self::Timer(_) => false,
        }
    }

    /// A source; `None` for a kind whose events come in as requests.
    pub fn source(&self) -> Option<Box<dyn Source>> {
        match self {
            Self::Timer(settings) => Some(Box::new(timer::Timer::new(settings.clone()))),
        }
    }
}
