//! Tests of the scheduler as a whole: transcripts tell stories, properties try everything.

mod deadlines;
mod properties;
mod script;
mod transcripts;
mod waiting;
mod world;
