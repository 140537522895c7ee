//! Into newer formats: `UpgradeDocument`.

use std::time::Duration;

use xbook_proto::v1::{self, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::error::Refusal;
use crate::format::Format;
use crate::node::DocumentHandle;
use crate::replica::{Replica, Unready};

/// How often it is looked which format the document has.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// After how many looks the holder is told again: it forgets, so that nothing happens once nobody waits.
const LOOKS_UNTIL_TOLD_AGAIN: u32 = 200;

/// A document on its way into a format, as this node sees it.
struct Progress {
    generation: u64,
    format: Format,
    /// The format that it is to have.
    to: Format,
    /// A voter that can't read that, or has not said so.
    unready: Option<Unready>,
    /// Whether this node votes on it.
    votes: bool,
}

impl Api {
    /// Has a document go on in a newer format, and waits until it does. A voter that is not connected is
    /// waited for; one that can't read the format is not.
    pub(in crate::api) async fn upgrade_document(
        &self,
        request: v1::UpgradeDocumentRequest,
        deadline: Deadline,
    ) -> Result<v1::UpgradeDocumentResponse, Refusal> {
        let document = self.document(&request.market)?;
        let asked = request.format;
        let upgraded = async {
            let mut looks = 0;
            loop {
                let progress = progress(&document, asked).await?;
                progress.check(document.name())?;
                let waits = progress.unready.is_some();
                if !waits && progress.format >= progress.to {
                    let (format, generation) = (progress.format.0, progress.generation);
                    return Ok(v1::UpgradeDocumentResponse { format, generation });
                }
                if !waits && looks % LOOKS_UNTIL_TOLD_AGAIN == 0 {
                    document.upgrade(progress.to).await?;
                }
                looks += u32::from(!waits);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match deadline.wait(upgraded).await {
            Ok(upgraded) => upgraded,
            Err(_) => Err(progress(&document, asked).await?.late(document.name())),
        }
    }
}

async fn progress(document: &DocumentHandle, asked: u32) -> Result<Progress, Refusal> {
    let read = document.read(move |replica| {
        let to = if asked == 0 { newest_for_all(replica) } else { Format(asked) };
        let (generation, format) = (replica.generation(), replica.format());
        let votes = replica.status().voters.contains(&replica.node());
        // What it has already needs nobody's word; which is the newest for all, everyone's.
        let unready = replica.unready(to).filter(|_| asked == 0 || to > format);
        Progress { generation: generation.0, format, to, unready, votes }
    });
    Ok(read.await?)
}

/// The newest format that all voters can read, as far as they have said; never one before the document's own.
fn newest_for_all(replica: &Replica) -> Format {
    let voters = replica.status().voters;
    let newest = voters.iter().filter_map(|voter| replica.formats_of(*voter).map(|reads| reads.newest)).min();
    newest.unwrap_or(replica.format()).max(replica.format())
}

impl Progress {
    /// Whether it can get there.
    fn check(&self, document: &str) -> Result<(), Refusal> {
        if !self.votes {
            let words = format!(
                "the answering node does not vote on {document}, so it has no say in its format: ask one of its voters"
            );
            return Err(Refusal::new(Reason::NotVoter, words));
        }
        let words = match &self.unready {
            _ if self.to < self.format => {
                format!("must not be older than that of {document}, {}", self.format)
            }
            Some(Unready { voter, reads: Some(reads) }) => {
                format!("all voters of {document} must read it, and {voter} reads {reads}")
            }
            _ => return Ok(()),
        };
        Err(Refusal::new(Reason::FormatUnready, words).field("format").value(self.to))
    }

    /// What it still waited for when the call's time was over.
    fn late(&self, document: &str) -> Refusal {
        let words = match &self.unready {
            Some(Unready { voter, .. }) => {
                format!("all voters of {document} must say that they read it, and {voter} is not connected")
            }
            None => format!(
                "{document} has format {} still: the holder of its lease must be connected with all voters",
                self.format
            ),
        };
        Refusal::new(Reason::Deadline, words).field("format").value(self.to)
    }
}
