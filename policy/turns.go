package policy

import "weir/openai"

// turns are a conversation's turns. One begins where a user speaks after
// somebody else and lasts until the next begins, so an assistant's tool calls and
// their results are always in one turn. System and developer messages belong to
// none, wherever they stand. Of each turn it has the messages, by their indexes.
type turns [][]int

// split divides a conversation.
func split(r *openai.Request) turns {
	var t turns
	last := ""
	for i, m := range r.Messages() {
		if m.Role == "system" || m.Role == "developer" {
			continue
		}
		if len(t) == 0 || m.Role == "user" && last != "user" {
			t = append(t, nil)
		}
		n := len(t) - 1
		t[n] = append(t[n], i)
		last = m.Role
	}
	return t
}

// cost returns the tokens of the turns [from, to).
func (t turns) cost(p Prompt, from, to int) int64 {
	var n int64
	for _, turn := range t[from:to] {
		for _, m := range turn {
			if m < len(p.Messages) {
				n += p.Messages[m]
			}
		}
	}
	return n
}

// members returns the messages of the oldest n turns.
func (t turns) members(n int) map[int]bool {
	gone := map[int]bool{}
	for _, turn := range t[:n] {
		for _, m := range turn {
			gone[m] = true
		}
	}
	return gone
}
