package presence

import "container/heap"

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

// dueBy returns up to most users whose deadline is not after now, in no particular
// order. It doesn't change the queue.
func (d deadlines) dueBy(now micros, most int) []uint32 {
	var ids []uint32
	next := []int{0}
	for len(next) > 0 && len(ids) < most {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		if i >= len(d) || d[i].due > now {
			continue
		}
		ids = append(ids, d[i].id)
		next = append(next, 2*i+1, 2*i+2)
	}
	return ids
}

// Len, Less, Swap, Push and Pop implement heap.Interface.

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].due < d[j].due }

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
