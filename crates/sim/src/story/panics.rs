//! Nothing may panic: what does is a finding of the story that runs in this thread.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics are kept instead of shown; their tasks end as always. Once for all threads.
pub(super) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = tokio::runtime::Handle::try_current().is_ok();
            if !is_ours {
                return usual(panic);
            }
            SEEN.with_borrow_mut(|seen| seen.push(format!("a panic: {panic}").replace('\n', " ")));
        }));
    });
}

/// Those of this thread since they were taken last.
pub(super) fn take() -> Vec<String> {
    SEEN.take()
}
