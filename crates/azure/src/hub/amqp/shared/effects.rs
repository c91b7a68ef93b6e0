//! What lines tell, done.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Inside, Shared};
use crate::hub::amqp::fleet::{LineId, NO_PLACE, Renewal};
use crate::hub::amqp::inbox::{Command, Inbox, Reply};
use crate::hub::amqp::line::{Effect, Line, Now, Post, Ticket};
use crate::hub::{SendError, Why};

impl Shared {
    /// Does what a line's effects ask for. `replies` are of messages that the line has.
    pub(in crate::hub::amqp) fn carry_out(
        self: &Arc<Self>,
        inbox: &Inbox,
        line: &mut Line,
        replies: &mut HashMap<Ticket, Reply>,
    ) {
        let now = self.clocks.now();
        let mut inside = self.inside();
        while let Some(effect) = line.effect() {
            match effect {
                Effect::Done(ticket, outcome) => {
                    if let Some(reply) = replies.remove(&ticket) {
                        inside.settle(inbox.line, reply, outcome, now);
                    }
                }
                Effect::Stolen { name, epoch, tenure } => inside.fleet.stolen(&name, epoch, tenure, now.at),
                Effect::Gone { name, epoch } => inside.fleet.gone(&name, epoch),
                Effect::RenewalDue { name, epoch, life, expires } => {
                    match inside.fleet.renewal(&name, epoch, expires, now.at) {
                        Renewal::At(at) => line.renew(life, at, now),
                        Renewal::LetGo => line.forget(&name, now),
                    }
                }
                Effect::Displaced { name, epoch, key, messages } => {
                    let mut posts: Vec<(Post, Reply)> = Vec::new();
                    for (ticket, payload) in messages {
                        let post = Post { ticket, name: name.clone(), epoch, key: key.clone(), payload };
                        posts.extend(replies.remove(&ticket).map(|reply| (post, reply)));
                    }
                    posts.extend(inbox.take_posts_of(&name, epoch));
                    self.displace(&mut inside, inbox.line, &name, epoch, posts, now);
                }
                Effect::Suspected(is_suspected) => inside.fleet.suspected(inbox.line, is_suspected),
                Effect::Over { error, devices } => self.end(&mut inside, inbox, devices, &error, now),
            }
        }
        inside.fleet.report(inbox.line, line.figures());
    }

    /// Another line takes a device with its messages, in order; or they are told that there is none.
    fn displace(
        self: &Arc<Self>,
        inside: &mut Inside,
        from: LineId,
        name: &Arc<str>,
        epoch: u64,
        posts: Vec<(Post, Reply)>,
        now: Now,
    ) {
        let bytes = posts.iter().map(|(_, reply)| reply.bytes).sum();
        let found = inside.fleet.displaced(from, name, epoch, bytes, now.at);
        let Some((line, is_new)) = found else {
            let why = Why::NotYet { retry_after: NO_PLACE };
            let error = SendError::unanswered(why, "the hub takes no more devices on the connections that there are");
            for (_, reply) in posts {
                inside.settle(from, Reply { bytes: 0, ..reply }, Err(error.clone()), now);
            }
            return;
        };
        if is_new {
            self.start(inside, line);
        }
        if posts.is_empty() {
            // Nobody waits for it any more.
            inside.fleet.gone(name, epoch);
        }
        for (post, reply) in posts {
            inside.tell(line, Command::Post(post, reply));
        }
    }

    /// A line is over. What was on its way to it hears the same as what was on it.
    pub(super) fn end(
        &self,
        inside: &mut Inside,
        inbox: &Inbox,
        mut devices: Vec<(Arc<str>, u64)>,
        error: &SendError,
        now: Now,
    ) {
        for command in inbox.take() {
            if let Command::Post(post, reply) = command {
                devices.push((post.name, post.epoch));
                inside.settle(inbox.line, reply, Err(error.clone()), now);
            }
        }
        inside.fleet.over(inbox.line, &devices, error, now.at);
        inside.inboxes.remove(&inbox.line);
        self.ended.notify_waiters();
    }
}
