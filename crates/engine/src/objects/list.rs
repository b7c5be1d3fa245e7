//! Lists the objects of a bucket by key, as S3 does: below a prefix, and with a delimiter what lies
//! deeper as one common prefix.

use stint_model::access::Caller;
use stint_model::code::Refusal;
use stint_model::object::asked::{ObjectEntry, ObjectPage, ObjectQuery, PAGE_MAX};
use stint_store::Kind;
use stint_store::record::object as stored;

use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;

/// The common prefix of a key, if it lies deeper.
fn common<'a>(key: &'a str, query: &ObjectQuery) -> Option<&'a str> {
    if query.delimiter.is_empty() {
        return None;
    }
    let rest = key.get(query.prefix.len()..)?;
    let at = rest.find(&query.delimiter)?;
    key.get(..query.prefix.len() + at + query.delimiter.len())
}

/// After everything that begins so.
fn past(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

impl Engine {
    /// A page of a bucket's objects.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument` for a limit over [`PAGE_MAX`].
    pub async fn object_list(
        &self,
        caller: &Caller,
        bucket: &str,
        query: &ObjectQuery,
    ) -> Result<ObjectPage, EngineError> {
        self.authorize(caller, Operation::ObjectList, None)?;
        if query.limit > PAGE_MAX {
            let message = format!("a page of a listing has at most {PAGE_MAX} entries");
            return Err(Refusal::invalid(message).into());
        }
        self.bucket_read(caller.account, bucket).await?;
        let mut page = ObjectPage::default();
        if query.limit == 0 {
            return Ok(page);
        }
        let root = format!("{}/{bucket}/", caller.account);
        let prefix = format!("{root}{}", query.prefix);
        let mut cursor = (!query.after.is_empty()).then(|| format!("{root}{}", query.after));
        loop {
            // With a delimiter most of a page may be one prefix: smaller steps.
            let step = if query.delimiter.is_empty() { query.limit + 1 } else { 200 };
            let read =
                self.store().record_list(Kind::Object, &prefix, cursor.as_deref(), step).await?;
            let mut jump = None;
            for record in &read.items {
                let key = record.key.name.get(root.len()..).unwrap_or_default();
                let entry = match common(key, query) {
                    Some(prefix) if page.entries.last().is_some_and(|e| e.name() == prefix) => {
                        continue;
                    }
                    // The page before ended with it.
                    Some(prefix) if prefix == query.after => {
                        jump = Some(past(prefix));
                        continue;
                    }
                    Some(prefix) => {
                        jump = Some(past(prefix));
                        ObjectEntry::Prefix(prefix.to_owned())
                    }
                    None => {
                        jump = None;
                        ObjectEntry::Object(Box::new(stored::decode(&record.body)?))
                    }
                };
                if page.entries.len() == query.limit {
                    page.more = true;
                    return Ok(page);
                }
                page.entries.push(entry);
            }
            let Some(next) = read.next else { return Ok(page) };
            // Never back: a key may begin with the last character of all.
            let jump = jump.map(|jump| format!("{root}{jump}"));
            cursor = Some(jump.map_or(next.clone(), |jump| jump.max(next)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_deeper_is_one_prefix() {
        let query =
            ObjectQuery { prefix: "a/".into(), delimiter: "/".into(), ..Default::default() };
        assert_eq!(common("a/b", &query), None);
        assert_eq!(common("a/b/c/d", &query), Some("a/b/"));
        assert_eq!(common("a//x", &query), Some("a//"));
        let query = ObjectQuery { delimiter: "--".into(), ..Default::default() };
        assert_eq!(common("x-y--z", &query), Some("x-y--"));
        assert_eq!(common("a/b", &ObjectQuery::default()), None);
        assert!(past("a/") > "a/\u{ffff}zzz".to_owned());
    }
}
