package presence

import (
	"cmp"
	"container/heap"
	"slices"
)

// deadlines is a priority queue of users by their next deadline. A user without a
// deadline is not in it.
type deadlines []*user

// first returns the earliest deadline. Zero means that there is none.
func (d deadlines) first() micros {
	if len(d) == 0 {
		return 0
	}
	return d[0].due
}

// set sets the deadline of u. Zero removes u from the queue.
func (d *deadlines) set(u *user, due micros) {
	queued := u.due != 0
	u.due = due
	switch {
	case queued && due == 0:
		heap.Remove(d, u.dueIndex)
	case queued:
		heap.Fix(d, u.dueIndex)
	case due != 0:
		heap.Push(d, u)
	}
}

// dueBy returns up to most users whose deadline is not after now, the earliest first, and
// of equals in order of account.id. It doesn't change the queue. If the order depended on
// who else has a deadline, it would show others when an invisible user does something.
func (d deadlines) dueBy(now micros, most int) []uint32 {
	var ids []uint32
	next := []int{0} // in order; their users come before those of all indices below them
	for len(next) > 0 && len(ids) < most {
		i := next[0]
		next = next[1:]
		if i >= len(d) || d[i].due > now {
			continue
		}
		ids = append(ids, d[i].id)
		for child := 2*i + 1; child <= 2*i+2 && child < len(d); child++ {
			at, _ := slices.BinarySearchFunc(next, child, d.compare)
			next = slices.Insert(next, at, child)
		}
	}
	return ids
}

// compare orders users by deadline, and those with the same one by account.id.
func (d deadlines) compare(i, j int) int {
	return cmp.Or(cmp.Compare(d[i].due, d[j].due), cmp.Compare(d[i].id, d[j].id))
}

// Len, Less, Swap, Push and Pop implement heap.Interface.

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d.compare(i, j) < 0 }

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].dueIndex, d[j].dueIndex = i, j
}

// Push appends x, a *user.
func (d *deadlines) Push(x any) {
	u := x.(*user)
	u.dueIndex = len(*d)
	*d = append(*d, u)
}

// Pop removes and returns the last user.
func (d *deadlines) Pop() any {
	old := *d
	u := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return u
}
