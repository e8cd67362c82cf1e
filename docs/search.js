// How much each kind of match counts in the search of these pages: Sphinx's numbers, but for `score`.
const searchedWords = (new URLSearchParams(location.search).get("q") || "").toLowerCase().split(/\s+/);
var Scorer = {
  // Pages that show how to do something come first, before all if their title has every word of the query; lists of
  // everything, which hold any word, come last.
  score: ([page, title, , , score]) => {
    if (/^(results\/model_cards\/|architecture$|changelog$)/.test(page)) return score - 6;
    if (!/^(start|howto)\//.test(page)) return score;
    return score + (searchedWords.every((word) => title.toLowerCase().includes(word)) ? 10 : 6);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
