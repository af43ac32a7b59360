package command

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"weir/usage"
)

// usageList is what requests add up to, as GET /admin/v1/usage answers it.
type usageList struct {
	Object string     `json:"object"` // list
	Since  time.Time  `json:"since"`
	Until  time.Time  `json:"until"`
	Zone   string     `json:"zone"`
	By     []string   `json:"by"`
	Data   []usageRow `json:"data"`
}

// usageRow is what the requests of one group add up to. Of the names it has those
// that the sums are told apart by.
type usageRow struct {
	Team       *string `json:"team,omitempty"`
	Key        *string `json:"key,omitempty"`
	Model      *string `json:"model,omitempty"`
	Deployment *string `json:"deployment,omitempty"`
	Day        *string `json:"day,omitempty"`  // such as 2026-03-31
	Hour       *string `json:"hour,omitempty"` // when it begins, by RFC 3339

	Requests  int64 `json:"requests"`
	Errors    int64 `json:"errors"`
	Refused   int64 `json:"refused"`
	Unsettled int64 `json:"unsettled"`
	Open      int64 `json:"open"`
	Input     int64 `json:"input_tokens"`
	Cached    int64 `json:"cached_tokens"`
	Output    int64 `json:"output_tokens"`
	Reasoning int64 `json:"reasoning_tokens"`
	Cost      money `json:"cost_usd"`
	Held      money `json:"held_usd"`
}

// money is an amount that JSON has in dollars, to the last digit.
type money usage.USD

// MarshalJSON returns the amount in dollars.
func (m money) MarshalJSON() ([]byte, error) { return []byte(m.plain()), nil }

// UnmarshalJSON reads an amount in dollars that MarshalJSON has written.
func (m *money) UnmarshalJSON(b []byte) error {
	const places = 9
	whole, rest, _ := strings.Cut(string(b), ".")
	if len(rest) > places {
		return errors.New("an amount is not in billionths of a dollar")
	}
	n, err := strconv.ParseInt(whole+rest+strings.Repeat("0", places-len(rest)), 10, 64)
	if err != nil {
		return fmt.Errorf("reading an amount: %w", err)
	}
	*m = money(n)
	return nil
}

// plain returns the amount in dollars without their sign, to the last digit.
func (m money) plain() string { return strings.Replace(usage.USD(m).String(), "$", "", 1) }

// newUsageList returns the answer to a question.
func newUsageList(q usageQuery, sums []usage.Sum) usageList {
	list := usageList{
		Object: "list", Since: q.query.Since, Until: q.query.Until, Zone: q.zone, By: q.query.By, Data: make([]usageRow, len(sums)),
	}
	for i, s := range sums {
		row := &list.Data[i]
		*row = usageRow{
			Requests: s.Requests, Errors: s.Errors, Refused: s.Refused, Unsettled: s.Unsettled, Open: s.Open,
			Input: s.Input, Cached: s.Cached, Output: s.Output, Reasoning: s.Reasoning, Cost: money(s.Cost), Held: money(s.Held),
		}
		day, hour := s.From.Format(time.DateOnly), s.From.Format(time.RFC3339)
		for _, by := range list.By {
			value := map[string]string{"team": s.Team, "key": s.Key, "model": s.Model, "deployment": s.Deployment, "day": day, "hour": hour}[by]
			*row.place(by) = &value
		}
	}
	return list
}

// place returns where a row has the name that it is told apart by.
func (r *usageRow) place(by string) **string {
	switch by {
	case "team":
		return &r.Team
	case "key":
		return &r.Key
	case "model":
		return &r.Model
	case "deployment":
		return &r.Deployment
	case "day":
		return &r.Day
	default:
		return &r.Hour
	}
}

// name returns the name that a row is told apart by, "" where it has none.
func (r *usageRow) name(by string) string {
	if p := *r.place(by); p != nil {
		return *p
	}
	return ""
}

// writeCSV writes a list as RFC 4180 has it, for spreadsheets: no name of anything
// is taken for a formula there.
func writeCSV(w io.Writer, list usageList) error {
	out := csv.NewWriter(w)
	header := append([]string{}, list.By...)
	_ = out.Write(append(header, "requests", "errors", "refused", "unsettled", "open", // Error has what fails
		"input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd", "held_usd"))
	for i := range list.Data {
		row := &list.Data[i]
		var cells []string
		for _, by := range list.By {
			cells = append(cells, harmless(row.name(by)))
		}
		for _, n := range []int64{
			row.Requests, row.Errors, row.Refused, row.Unsettled, row.Open, row.Input, row.Cached, row.Output, row.Reasoning,
		} {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
		_ = out.Write(append(cells, row.Cost.plain(), row.Held.plain()))
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing usage: %w", err)
	}
	return nil
}

// harmless returns a text that no spreadsheet computes.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
