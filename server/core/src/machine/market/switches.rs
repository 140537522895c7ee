//! The switches that are armed, and the accounts that are killed.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::intent::{Account, SessionId};
use crate::types::{Micros, OrderId};

/// Whose orders a switch cancels: an account's, or those of one of its sessions.
pub(in crate::machine) type SwitchOf = (Account, Option<SessionId>);

/// A switch that is armed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::machine) struct Armed {
    /// When it fires.
    pub fires: Micros,
    /// The intent that armed it last.
    pub set_by: OrderId,
    /// The number of the stream that it is of; 0 for an account's.
    pub stream: u64,
}

/// The switches that are armed, each once by whose it is and once by when it fires.
#[derive(Clone, Default, Debug)]
pub(super) struct Switches {
    by_owner: BTreeMap<SwitchOf, Armed>,
    by_time: BTreeMap<(Micros, OrderId), SwitchOf>,
}

impl Switches {
    pub fn len(&self) -> usize {
        self.by_owner.len()
    }

    pub fn get(&self, of: &SwitchOf) -> Option<&Armed> {
        self.by_owner.get(of)
    }

    /// Arms one, in place of the one that was armed for the same; `None` if its intent armed another one.
    pub fn arm(&mut self, of: SwitchOf, armed: Armed) -> Option<()> {
        self.disarm(&of);
        let by_time = self.by_time.insert((armed.fires, armed.set_by), of.clone());
        self.by_owner.insert(of, armed);
        by_time.is_none().then_some(())
    }

    pub fn disarm(&mut self, of: &SwitchOf) -> Option<Armed> {
        let armed = self.by_owner.remove(of)?;
        self.by_time.remove(&(armed.fires, armed.set_by));
        Some(armed)
    }

    /// When the next one fires, which it is, and whose.
    pub fn next(&self) -> Option<(Micros, OrderId, &SwitchOf)> {
        self.by_time.first_key_value().map(|((fires, set_by), of)| (*fires, *set_by, of))
    }

    /// All, by whose they are.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&SwitchOf, &Armed)> {
        self.by_owner.iter()
    }
}

/// The accounts that are killed.
#[derive(Clone, Default, Debug)]
pub(super) struct Killed(BTreeSet<Account>);

impl Killed {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether an account is killed. Asked for each order: mostly none is.
    #[inline]
    pub fn has(&self, account: &Account) -> bool {
        !self.0.is_empty() && self.0.contains(account)
    }

    pub fn set(&mut self, account: &Account, on: bool) {
        match on {
            true => _ = self.0.insert(account.clone()),
            false => _ = self.0.remove(account),
        }
    }

    /// All, by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Account> {
        self.0.iter()
    }
}
