// How much each kind of match counts in the search of these pages: Sphinx's numbers, but for `score`.
var Scorer = {
  // Pages that show how to do something come first; lists of everything, which hold any word, come last.
  score: ([page, , , , score]) => {
    if (/^(start|howto)\//.test(page)) return score + 6;
    if (/^(results\/model_cards\/|architecture$|changelog$)/.test(page)) return score - 6;
    return score;
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
