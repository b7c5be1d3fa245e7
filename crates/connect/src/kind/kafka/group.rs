//! What the client tells a source between its records: partitions that come and go, errors, and how far
//! behind it is.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, Statistics, TopicPartitionList};

use super::{ASK_MAX, Offsets};
use crate::reach::{broken, missing, not_accepted, unreachable};
use crate::source::SourceError;

/// The source's side of its group.
pub(super) struct Group {
    topic: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The next offset of each partition; what is before it was given to the host.
    offsets: Offsets,
    /// Partitions that were ours and may have gone on with another member.
    given_away: BTreeSet<i32>,
    trouble: Option<SourceError>,
    lag: Option<u64>,
}

impl Group {
    pub(super) fn new(topic: String) -> Self {
        Self { topic, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, offsets: Offsets) {
        self.state().offsets = offsets;
    }

    pub(super) fn offsets(&self) -> Offsets {
        self.state().offsets.clone()
    }

    /// Whether a partition was not known.
    pub(super) fn note_partition(&self, partition: i32) -> bool {
        let mut state = self.state();
        let is_new = !state.offsets.contains_key(&partition);
        state.offsets.entry(partition).or_insert(0);
        is_new
    }

    pub(super) fn lag(&self) -> Option<u64> {
        self.state().lag
    }

    pub(super) fn take_trouble(&self) -> Option<SourceError> {
        self.state().trouble.take()
    }

    /// Whether a record comes after the position, which then passes it.
    pub(super) fn pass(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut state = self.state();
        let next = state.offsets.entry(message.partition()).or_insert(0);
        if message.offset() < *next {
            return false;
        }
        *next = message.offset() + 1;
        true
    }

    /// Notes what an error means, or gives it when there is no going on.
    pub(super) fn judge(&self, error: &KafkaError) -> Result<(), SourceError> {
        const WHAT: &str = "read the topic";
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve) => {
                self.note(unreachable("reach Kafka", error));
                Ok(())
            }
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
                Err(self.noted(not_accepted("log in to Kafka", error)))
            }
            Some(Code::SSL) => Err(self.noted(not_accepted("set up TLS with Kafka", error))),
            Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed) => {
                Err(self.noted(not_accepted(WHAT, error)))
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(missing(WHAT, format!("there is no topic '{}'", self.topic)))
            }
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(SourceError::Lost {
                why: format!(
                    "the topic '{}' no longer has the next offset: it was cut off or made anew",
                    self.topic
                ),
            }),
            // Retried by the client itself.
            Some(Code::OperationTimedOut) | None => {
                tracing::debug!(%error, "Kafka");
                Ok(())
            }
            Some(_) => Err(broken(WHAT, error)),
        }
    }

    /// A login that fails is worth more than a broker that is away.
    fn note(&self, error: SourceError) {
        let mut state = self.state();
        let is_known = matches!(state.trouble, Some(SourceError::Credentials { .. }));
        if !is_known {
            state.trouble = Some(error);
        }
    }

    fn noted(&self, error: SourceError) -> SourceError {
        self.note(error.clone());
        error
    }

    /// Where to go on in a partition that is ours now.
    fn start(&self, consumer: &BaseConsumer<Self>, partition: i32) -> Offset {
        let (kept, was_away) = {
            let mut state = self.state();
            let was_away = state.given_away.remove(&partition);
            (state.offsets.get(&partition).copied(), was_away)
        };
        // It came into being after the trigger did.
        let Some(kept) = kept else { return Offset::Beginning };
        if !was_away {
            return Offset::Offset(kept);
        }
        // Another member of the group may have worked on it meanwhile.
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let committed = consumer.committed_offsets(list, ASK_MAX.to_std());
        let found = committed.ok().and_then(|list| {
            list.find_partition(&self.topic, partition).and_then(|found| found.offset().to_raw())
        });
        let next = found.map_or(kept, |committed| committed.max(kept));
        self.state().offsets.insert(partition, next);
        Offset::Offset(next)
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let mut state = self.state();
        let behind = topic.partitions.values().filter_map(|partition| {
            let next = state.offsets.get(&partition.partition)?;
            u64::try_from(partition.hi_offset.saturating_sub(*next)).ok()
        });
        let lag = behind.sum();
        state.lag = Some(lag);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
        if let Err(error) = self.judge(&error) {
            self.note(error);
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<i32> =
            list.elements_for_topic(&self.topic).iter().map(|one| one.partition()).collect();
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::debug!(topic = self.topic, ?partitions, "partitions are ours");
            let mut set = Ok(());
            for partition in partitions {
                let offset = self.start(consumer, partition);
                set = set.and(list.set_partition_offset(&self.topic, partition, offset));
            }
            set.and_then(|()| consumer.assign(list))
        } else {
            tracing::debug!(topic = self.topic, ?partitions, "partitions go");
            self.state().given_away.extend(partitions);
            consumer.unassign()
        };
        if let Err(error) = done {
            self.note(broken("take over partitions", error));
        }
    }
}
