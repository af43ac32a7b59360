package quota

// Standing is where the allowances of one account stand.
type Standing struct {
	Snapshot // of this account alone

	// Slots are those of concurrency: of as many as Limit, Remaining are free.
	Slots Level
}

// Viewer tells levels without taking anything. It is safe for concurrent use.
type Viewer interface {
	// Levels returns where each of the accounts stands under the limits given, in
	// their order. It asks nobody: a store elsewhere tells what it last heard and
	// what has flowed in since. A budget whose window is new has no level until
	// something is reserved of it.
	Levels(accounts []Account) []Standing
}

var _ Viewer = (*Memory)(nil)

// Levels implements Viewer, exactly.
func (m *Memory) Levels(accounts []Account) []Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.tick()
	all := make([]Standing, len(accounts))
	for i, a := range accounts {
		s := account{id: a.ID}
		if held := m.accounts[a.ID]; held != nil {
			s = *held // configuring the copy leaves what is held as it is
		}
		if s.limits != a.Limits {
			s.requests.configure(now, a.Limits.RequestsPerMinute, a.Limits.BurstRequests)
			s.tokens.configure(now, a.Limits.TokensPerMinute, a.Limits.BurstTokens)
			s.purse.configure(now, a.Limits.Budget)
		}
		if s.requests.on {
			all[i].Requests = s.requests.snapshot(now, a.ID)
		}
		if s.tokens.on {
			all[i].Tokens = s.tokens.snapshot(now, a.ID)
		}
		if s.purse.on() && s.purse.opened(now) {
			all[i].Budget = s.purse.snapshot(now, a.ID)
		}
		all[i].Slots = Slots(a, s.open)
	}
	return all
}

// Slots returns the level of an account's slots, of which so many are taken.
func Slots(a Account, open int64) Level {
	if a.Limits.Concurrency == 0 {
		return Level{}
	}
	return Level{Account: a.ID, Limit: a.Limits.Concurrency, Remaining: max(0, a.Limits.Concurrency-open)}
}
