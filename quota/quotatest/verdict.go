package quotatest

import (
	"time"

	"weir/quota"
)

// verdict is what the oracle says. It neither admits nor refuses where
// rounding decides.
type verdict struct {
	admits, refuses, never bool
	slots                  bool    // a slot is lacking
	broke                  bool    // money is lacking, and will be in the next window
	wait, late             float64 // seconds, and what rounding may add or take
}

func (v verdict) near(got time.Duration) bool {
	return got.Seconds() >= v.wait-v.late && got.Seconds() <= v.wait+v.late+0.001
}

func (m *machine) judge(who []int, cost quota.Cost) verdict {
	v := verdict{admits: true}
	for _, i := range who {
		p := &m.pots[i]
		for _, d := range []struct {
			pot *pot
			n   int64
		}{{&p.requests, cost.Requests}, {&p.tokens, cost.Tokens}} {
			d.pot.flow(m.now)
			if !d.pot.on {
				continue
			}
			lack, slack := d.pot.lack(d.n), d.pot.slack()
			v.never = v.never || float64(d.n) > d.pot.burst
			v.admits = v.admits && lack < -slack
			v.refuses = v.refuses || lack > slack
			v.wait = max(v.wait, lack/d.pot.perSecond)
			v.late = max(v.late, slack/d.pot.perSecond+1e-9*v.wait)
		}
		m.judgeSpend(&v, i, cost.Spend)
		if !cost.Further && p.open >= m.accounts[i].Limits.Concurrency {
			v.slots = true
			v.wait = max(v.wait, 1)
		}
	}
	v.refuses = v.refuses || v.never || v.slots
	v.admits = v.admits && !v.refuses
	return v
}

// judgeSpend adds what a budget says to a cost.
func (m *machine) judgeSpend(v *verdict, i int, spend int64) {
	p := &m.pots[i].purse
	before := m.before[m.accounts[i].ID]
	p.open(m.time(), before)
	if !p.refuses(spend) {
		return
	}
	v.refuses = true
	v.never = v.never || spend > p.budget.Amount
	v.broke = v.broke || spend > p.budget.Amount-before
	v.wait = max(v.wait, p.until.Sub(m.time()).Seconds())
	v.late = max(v.late, 1e-9*v.wait)
}
