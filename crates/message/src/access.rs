//! Authorization, in the engine's way: every verb begins with [`Operation::check`]; what each needs
//! stands in one table.
//!
//! | role | may |
//! |---|---|
//! | invoker | send, publish, receive, delete and keep messages hidden |
//! | viewer | read attributes, list, peek |
//! | developer, admin | both, and make, change, empty and delete queues, topics and subscriptions |
//!
//! A key with a scope reaches only queues and topics whose names its patterns match.

use stint_model::access::{Caller, Need};
use stint_model::code::{Code, Refusal};

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $action:literal on $kind:literal needs $need:ident;)*) => {
        /// Every verb of the message service.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The action's name: `mns:…` where upstream has one, `stint:…` elsewhere.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => $action,)* }
            }

            /// What kind of resource it is about.
            pub const fn resource_kind(self) -> &'static str {
                match self { $(Self::$name => $kind,)* }
            }

            /// What a caller needs.
            pub const fn need(self) -> Need {
                match self { $(Self::$name => Need::$need,)* }
            }
        }
    };
}

operations! {
    /// Make a queue.
    QueueCreate: "mns:CreateQueue" on "queues" needs Write;
    /// Change a queue.
    QueueSet: "mns:SetQueueAttributes" on "queues" needs Write;
    /// Read a queue.
    QueueGet: "mns:GetQueueAttributes" on "queues" needs Read;
    /// List queues.
    QueueList: "mns:ListQueue" on "queues" needs Read;
    /// Delete a queue.
    QueueDelete: "mns:DeleteQueue" on "queues" needs Write;
    /// Empty a queue.
    QueuePurge: "stint:PurgeQueue" on "queues" needs Write;
    /// Send messages.
    Send: "mns:SendMessage" on "queues" needs Invoke;
    /// Receive messages.
    Receive: "mns:ReceiveMessage" on "queues" needs Invoke;
    /// See messages without taking them.
    Peek: "mns:PeekMessage" on "queues" needs Read;
    /// Delete messages.
    Delete: "mns:DeleteMessage" on "queues" needs Invoke;
    /// Hide a message for longer, or show it sooner.
    Change: "mns:ChangeMessageVisibility" on "queues" needs Invoke;
    /// Make a topic.
    TopicCreate: "mns:CreateTopic" on "topics" needs Write;
    /// Change a topic.
    TopicSet: "mns:SetTopicAttributes" on "topics" needs Write;
    /// Read a topic.
    TopicGet: "mns:GetTopicAttributes" on "topics" needs Read;
    /// List topics.
    TopicList: "mns:ListTopic" on "topics" needs Read;
    /// Delete a topic.
    TopicDelete: "mns:DeleteTopic" on "topics" needs Write;
    /// Publish.
    Publish: "mns:PublishMessage" on "topics" needs Invoke;
    /// Subscribe.
    Subscribe: "mns:Subscribe" on "topics" needs Write;
    /// Change a subscription.
    SubscriptionSet: "mns:SetSubscriptionAttributes" on "topics" needs Write;
    /// Read a subscription.
    SubscriptionGet: "mns:GetSubscriptionAttributes" on "topics" needs Read;
    /// List subscriptions.
    SubscriptionList: "mns:ListSubscriptionByTopic" on "topics" needs Read;
    /// Unsubscribe.
    Unsubscribe: "mns:Unsubscribe" on "topics" needs Write;
}

impl Operation {
    /// Whether the caller may do this to the queue or topic (`None`: to no particular one).
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn check(self, region: &str, caller: &Caller, name: Option<&str>) -> Result<(), Refusal> {
        if caller.may(self.need(), name) {
            return Ok(());
        }
        let message = format!(
            "the caller is not authorized to perform '{}' on resource 'acs:mns:{region}:{}:{}/{}' \
             with condition '[role={}{}]'",
            self.action(),
            caller.account,
            self.resource_kind(),
            name.unwrap_or("*"),
            caller.role.word(),
            if caller.scope.functions.is_empty() { "" } else { " scope=functions" },
        );
        Err(Refusal::new(Code::AccessDenied, message))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stint_model::access::{Role, Scope};
    use stint_model::id::AccountId;

    use super::*;

    fn caller(role: Role, scope: &[&str]) -> Caller {
        let functions: Vec<String> = scope.iter().map(|one| (*one).to_owned()).collect();
        let functions: Arc<[String]> = functions.into();
        let (account, key_id) = (AccountId::ROOT, "k".into());
        Caller { account, role, scope: Scope { functions }, key_id, request_id: None }
    }

    /// Who may do what, written out: `i`nvoker, `v`iewer, `d`eveloper, `a`dmin.
    const TABLE: &[(&str, &[Operation])] = &[
        (
            "ida",
            &[
                Operation::Send,
                Operation::Receive,
                Operation::Delete,
                Operation::Change,
                Operation::Publish,
            ],
        ),
        (
            "vda",
            &[
                Operation::QueueGet,
                Operation::QueueList,
                Operation::Peek,
                Operation::TopicGet,
                Operation::TopicList,
                Operation::SubscriptionGet,
                Operation::SubscriptionList,
            ],
        ),
        (
            "da",
            &[
                Operation::QueueCreate,
                Operation::QueueSet,
                Operation::QueueDelete,
                Operation::QueuePurge,
                Operation::TopicCreate,
                Operation::TopicSet,
                Operation::TopicDelete,
                Operation::Subscribe,
                Operation::SubscriptionSet,
                Operation::Unsubscribe,
            ],
        ),
    ];

    #[test]
    fn every_operation_as_every_role() {
        let listed: usize = TABLE.iter().map(|(_, operations)| operations.len()).sum();
        assert_eq!(listed, Operation::ALL.len());
        for (who, operations) in TABLE {
            for operation in *operations {
                for role in Role::ALL {
                    let may = operation.check("local", &caller(role, &[]), Some("q"));
                    let letter = &role.word()[..1];
                    assert_eq!(may.is_ok(), who.contains(letter), "{operation:?} as {role:?}");
                    let narrowed = caller(role, &["q-*"]);
                    assert!(operation.check("local", &narrowed, Some("other")).is_err());
                    assert!(operation.check("local", &narrowed, None).is_err());
                    let reached = operation.check("local", &narrowed, Some("q-1"));
                    assert_eq!(reached.is_ok(), may.is_ok());
                }
            }
        }
    }
}
