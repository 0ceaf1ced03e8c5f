//! The bindings of a topic exchange as a trie of words, matched as a set of nodes that moves
//! along the routing key word by word. A pattern such as `#.#.#` therefore costs at most words
//! times nodes, where a matcher that backtracks would be exponential.

use std::collections::BTreeMap;

use super::name::Name;

/// A trie from patterns (`*` one word, `#` any number of words) to values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TopicTrie<T> {
    nodes: Vec<Node<T>>,
    free: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node<T> {
    parent: Option<(usize, Edge)>,
    words: BTreeMap<Name, usize>,
    star: Option<usize>,
    hash: Option<usize>,
    /// Reached by `#`: stays active whatever word comes.
    loops: bool,
    values: Vec<T>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Edge {
    Word(Name),
    Star,
    Hash,
}

const ROOT: usize = 0;

impl<T: PartialEq + Clone> TopicTrie<T> {
    /// An empty trie.
    pub(crate) fn new() -> Self {
        TopicTrie { nodes: vec![Node::new(None, false)], free: Vec::new() }
    }

    /// Adds a value under a pattern. The same value may be added under many patterns.
    pub(crate) fn insert(&mut self, pattern: &[u8], value: T) {
        let mut at = ROOT;
        for word in words(pattern) {
            at = self.child_or_new(at, edge(word));
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.values.push(value);
        }
    }

    /// Removes one value from under a pattern and prunes what became empty.
    pub(crate) fn remove(&mut self, pattern: &[u8], value: &T) {
        let mut at = ROOT;
        for word in words(pattern) {
            match self.child(at, &edge(word)) {
                Some(next) => at = next,
                None => return,
            }
        }
        if let Some(node) = self.nodes.get_mut(at)
            && let Some(found) = node.values.iter().position(|have| have == value)
        {
            node.values.swap_remove(found);
        }
        self.prune(at);
    }

    /// Calls `found` with the value of every pattern that matches the key; a value bound by
    /// several matching patterns is found several times.
    pub(crate) fn matches(&self, key: &[u8], mut found: impl FnMut(&T)) {
        let mut active = Vec::with_capacity(8);
        let mut next = Vec::with_capacity(8);
        self.activate(ROOT, &mut active);
        for word in words(key) {
            next.clear();
            for &index in &active {
                self.advance(index, word, &mut next);
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut active, &mut next);
            if active.is_empty() {
                return;
            }
        }
        for node in active.iter().filter_map(|&index| self.nodes.get(index)) {
            node.values.iter().for_each(&mut found);
        }
    }

    /// Adds a node and what follows from it without a word, since `#` also matches none.
    fn activate(&self, index: usize, into: &mut Vec<usize>) {
        let mut at = Some(index);
        while let Some(index) = at {
            into.push(index);
            at = self.nodes.get(index).and_then(|node| node.hash);
        }
    }

    fn advance(&self, index: usize, word: &[u8], into: &mut Vec<usize>) {
        let Some(node) = self.nodes.get(index) else {
            return;
        };
        if node.loops {
            self.activate(index, into);
        }
        if let Some(&next) = node.words.get(word) {
            self.activate(next, into);
        }
        if let Some(next) = node.star {
            self.activate(next, into);
        }
    }

    fn child(&self, at: usize, edge: &Edge) -> Option<usize> {
        let node = self.nodes.get(at)?;
        match edge {
            Edge::Word(word) => node.words.get(word).copied(),
            Edge::Star => node.star,
            Edge::Hash => node.hash,
        }
    }

    fn child_or_new(&mut self, at: usize, edge: Edge) -> usize {
        if let Some(found) = self.child(at, &edge) {
            return found;
        }
        let node = Node::new(Some((at, edge.clone())), edge == Edge::Hash);
        let index = self.free.pop().unwrap_or(self.nodes.len());
        match self.nodes.get_mut(index) {
            Some(free) => *free = node,
            None => self.nodes.push(node),
        }
        if let Some(parent) = self.nodes.get_mut(at) {
            parent.link(edge, index);
        }
        index
    }

    fn prune(&mut self, from: usize) {
        let mut at = from;
        while let Some(node) = self.nodes.get_mut(at).filter(|node| node.is_empty()) {
            let Some((parent, edge)) = node.parent.take() else {
                return;
            };
            self.free.push(at);
            if let Some(above) = self.nodes.get_mut(parent) {
                above.unlink(&edge);
            }
            at = parent;
        }
    }
}

impl<T> Node<T> {
    fn new(parent: Option<(usize, Edge)>, loops: bool) -> Self {
        Node { parent, words: BTreeMap::new(), star: None, hash: None, loops, values: Vec::new() }
    }

    fn link(&mut self, edge: Edge, child: usize) {
        match edge {
            Edge::Word(word) => {
                self.words.insert(word, child);
            }
            Edge::Star => self.star = Some(child),
            Edge::Hash => self.hash = Some(child),
        }
    }

    fn unlink(&mut self, edge: &Edge) {
        match edge {
            Edge::Word(word) => {
                self.words.remove(word);
            }
            Edge::Star => self.star = None,
            Edge::Hash => self.hash = None,
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.words.is_empty()
            && self.star.is_none()
            && self.hash.is_none()
    }
}

fn edge(word: &[u8]) -> Edge {
    match word {
        b"*" => Edge::Star,
        b"#" => Edge::Hash,
        word => Edge::Word(Name::copy(word)),
    }
}

/// The words of a key. The empty key has none, as RabbitMQ has it: `*` does not match it.
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|&byte| byte == b'.').filter(move |_| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(patterns: &[&str], key: &str) -> Vec<usize> {
        let mut trie = TopicTrie::new();
        for (index, pattern) in patterns.iter().enumerate() {
            trie.insert(pattern.as_bytes(), index);
        }
        let mut found = Vec::new();
        trie.matches(key.as_bytes(), |&value| found.push(value));
        found.sort_unstable();
        found
    }

    #[test]
    fn words_stars_and_hashes_match_as_in_rabbitmq() {
        let patterns = [
            "a.b.c", "a.*.c", "a.#.b", "a.b.b", "#", "#.#", "*.*", "a.*", "*.b", "#.a", "a.#",
            "*.#", "#.*", "a.#.#", "a.*.#", "", "*",
        ];
        assert_eq!(matching(&patterns, "a.b.c"), [0, 1, 4, 5, 10, 11, 12, 13, 14]);
        assert_eq!(matching(&patterns, "a.b"), [2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14]);
        assert_eq!(matching(&patterns, ""), [4, 5, 15]);
        assert_eq!(matching(&patterns, "a"), [4, 5, 9, 10, 11, 12, 13, 16]);
        assert_eq!(matching(&["a.*.b", "a..b"], "a..b"), [0, 1]);
    }

    /// Against a matcher so simple that it needs no proof.
    #[test]
    fn agrees_with_a_backtracking_matcher() {
        fn slow(pattern: &[&str], key: &[&str]) -> bool {
            match (pattern.split_first(), key.split_first()) {
                (None, None) => true,
                (Some((&"#", rest)), _) => {
                    slow(rest, key)
                        || key.split_first().is_some_and(|(_, tail)| slow(pattern, tail))
                }
                (Some((&"*", rest)), Some((_, tail))) => slow(rest, tail),
                (Some((word, rest)), Some((have, tail))) => word == have && slow(rest, tail),
                _ => false,
            }
        }
        let alphabet = ["a", "b", "*", "#"];
        let mut patterns = vec![vec![]];
        for length in 1..=4usize {
            for code in 0..alphabet.len().pow(length as u32) {
                patterns.push(
                    (0..length)
                        .map(|place| alphabet[code / alphabet.len().pow(place as u32) % 4])
                        .collect::<Vec<_>>(),
                );
            }
        }
        let mut trie = TopicTrie::new();
        for (index, pattern) in patterns.iter().enumerate() {
            trie.insert(pattern.join(".").as_bytes(), index);
        }
        for key in ["", "a", "b.a", "a.b.a", "c.a.b.b", "a.a.a.a.a"] {
            let mut found = Vec::new();
            trie.matches(key.as_bytes(), |&index| found.push(index));
            found.sort_unstable();
            let key: Vec<&str> = key.split('.').filter(|_| !key.is_empty()).collect();
            let expected: Vec<usize> =
                (0..patterns.len()).filter(|&index| slow(&patterns[index], &key)).collect();
            assert_eq!(found, expected, "{key:?}");
        }
    }

    #[test]
    fn removing_prunes_and_reuses_nodes() {
        let mut trie = TopicTrie::new();
        for round in 0..100 {
            let pattern = format!("a.{round}.#");
            trie.insert(pattern.as_bytes(), 1);
            trie.remove(pattern.as_bytes(), &1);
        }
        assert!(trie.nodes.len() <= 4, "{} nodes are left", trie.nodes.len());
        let mut found = 0;
        trie.matches(b"a.5.x", |_| found += 1);
        assert_eq!(found, 0);
    }

    #[test]
    fn many_hashes_do_not_explode() {
        let pattern = vec!["#"; 100].join(".") + ".x";
        let key = vec!["a"; 100].join(".");
        assert_eq!(matching(&[&pattern], &key), Vec::<usize>::new());
        assert_eq!(matching(&[&pattern], &(key + ".x")), [0]);
    }
}
