package delivery

import (
	"fmt"
	"regexp"
	"slices"
)

// answerRule tells some answers from others.
type answerRule struct {
	statuses    []int // nil for all from least to most
	least, most int
	body        *regexp.Regexp // nil for any
}

// parseRule reads one member of a gateway's file. Its statuses must be least to most.
func parseRule(where string, file ruleFile, least, most int) (answerRule, error) {
	rule := answerRule{statuses: file.Status, least: least, most: most}
	isOther := func(status int) bool { return status < least || status > most }
	if file.Status != nil && len(file.Status) == 0 || slices.ContainsFunc(file.Status, isOther) {
		return answerRule{}, badGateway(where+".status", fmt.Sprintf("must be a list of %d to %d", least, most))
	}
	if file.BodyMatches == "" {
		return rule, nil
	}
	var err error
	if rule.body, err = regexp.Compile(file.BodyMatches); err != nil {
		return answerRule{}, badGateway(where+".body_matches", "must be a regular expression as RE2 has it")
	}
	return rule, nil
}

// meets reports whether a is one of the answers.
func (r answerRule) meets(a answer) bool {
	return r.status(a) && (r.body == nil || r.body.Match(a.body))
}

// status reports whether a could be one of them by its status.
func (r answerRule) status(a answer) bool {
	if r.statuses == nil {
		return r.least <= a.status && a.status <= r.most
	}
	return slices.Contains(r.statuses, a.status)
}
