//! What handles hand in, and which requests are taken of it.

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Task;
use crate::machine::{Origin, Request};
use crate::node::handle::ToTask;
use crate::node::quarantine::{Closed, Fault};
use crate::node::waiting::{CallNews, Caller, SessionNews, SubmitError};
use crate::replica::Input;

impl Task {
    /// Takes what handles hand in: all requests up to a peer's word are one input.
    pub(super) async fn take(&mut self, words: &mut Vec<ToTask>) -> Result<(), Fault> {
        let mut gathered: Vec<Request> = Vec::new();
        for word in words.drain(..) {
            match word {
                ToTask::Read(read) => {
                    // It sees what was submitted before it.
                    if !gathered.is_empty() {
                        self.step(Input::Submit(std::mem::take(&mut gathered))).await?;
                    }
                    read(&self.replica);
                }
                ToTask::Submit { requests, session, taken } => {
                    self.gather(&mut gathered, requests, session, taken);
                }
                ToTask::Ask { request, caller } => self.gather_call(&mut gathered, request, caller),
                ToTask::HandOver(to) => self.step(Input::HandOver(to)).await?,
                ToTask::Upgrade(to) => self.step(Input::Upgrade(to)).await?,
                ToTask::Hear { from, envelope, received } => {
                    // A link is up before anything comes through it.
                    if self.links.has_changed().unwrap_or(false) {
                        self.relink().await?;
                    }
                    self.step(Input::Message { from, envelope }).await?;
                    drop(received);
                }
            }
        }
        if gathered.is_empty() {
            return Ok(());
        }
        self.step(Input::Submit(gathered)).await
    }

    fn gather(
        &mut self,
        gathered: &mut Vec<Request>,
        requests: Vec<Request>,
        session: UnboundedSender<SessionNews>,
        taken: oneshot::Sender<Result<(), SubmitError>>,
    ) {
        let room = self.replica.room().saturating_sub(gathered.len());
        let answer = match requests.len() {
            _ if !self.open => Err(Closed::Ended.into()),
            many if many > room => Err(SubmitError::Overloaded),
            _ => Ok(()),
        };
        // A caller that has gone before its requests were taken does not want them.
        let takes = answer.is_ok();
        if taken.send(answer).is_ok() && takes && !requests.is_empty() {
            self.waiting.add_session(requests.len(), session);
            gathered.extend(requests);
        }
    }

    fn gather_call(&mut self, gathered: &mut Vec<Request>, request: Request, caller: Caller) {
        // As above.
        if caller.is_gone() {
            return;
        }
        if let Some(news) = self.judge(&request, gathered.len()) {
            return caller.tell(news);
        }
        let counter = self.replica.next_counter() + gathered.len() as u64;
        self.waiting.add_call(counter, &request, caller);
        gathered.push(request);
    }

    /// What a call is told whose request is not taken: among others, what became of the first one that it
    /// repeats, if that is known here. Of what is not, the tape tells.
    fn judge(&self, request: &Request, gathered: usize) -> Option<CallNews> {
        let known = match &request.origin {
            Origin::Request(id) => self.replica.view().ledger.request(&request.account, id),
            Origin::Command { .. } => None,
        };
        match known {
            Some((body_hash, _)) if body_hash != request.body_hash => Some(CallNews::Reused),
            Some((_, first)) => Some(CallNews::Known(first)),
            None if self.waiting.is_reused(request) => Some(CallNews::Reused),
            None if !self.open => Some(CallNews::Refused(Closed::Ended.into())),
            None if self.replica.room() <= gathered => Some(CallNews::Refused(SubmitError::Overloaded)),
            None => None,
        }
    }

    /// Tells whoever comes too late.
    pub(super) fn refuse(&self, word: ToTask) {
        match word {
            ToTask::Submit { taken, .. } => _ = taken.send(Err(Closed::Ended.into())),
            ToTask::Ask { caller, .. } => caller.tell(CallNews::Refused(Closed::Ended.into())),
            ToTask::Read(read) => read(&self.replica),
            ToTask::HandOver(_) | ToTask::Upgrade(_) | ToTask::Hear { .. } => {}
        }
    }
}
