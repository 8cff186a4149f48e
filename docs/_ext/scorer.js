/* How the search ranks what it finds: pages for people before names in the reference. */
var Scorer = {
  objNameMatch: 12,
  objPartialMatch: 2,
  objPrio: {0: 3, 1: 1, 2: -5},
  objPrioDefault: 0,
  title: 20,
  partialTitle: 14,
  term: 5,
  partialTerm: 2,
};
