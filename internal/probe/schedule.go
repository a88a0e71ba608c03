package probe

// schedule is a heap of the checks that have a moment: the earliest first.
type schedule []*check

// unscheduled is the place of a check that is not in the schedule.
const unscheduled = -1

// set gives the check its moment, in place of the one it may have.
func (s *schedule) set(c *check, at int64) {
	c.at = at
	if c.place == unscheduled {
		c.place = len(*s)
		*s = append(*s, c)
	}
	s.settle(c.place)
}

// remove takes the check's moment away, if it has one.
func (s *schedule) remove(c *check) {
	at := c.place
	if at == unscheduled {
		return
	}
	last := len(*s) - 1
	s.swap(at, last)
	(*s)[last] = nil
	*s = (*s)[:last]
	c.place = unscheduled
	if at < last {
		s.settle(at)
	}
}

// due takes out the first check whose moment has come; nil if there is none.
func (s *schedule) due(now int64) *check {
	if len(*s) == 0 || (*s)[0].at > now {
		return nil
	}
	c := (*s)[0]
	s.remove(c)
	return c
}

// next is the first moment, or -1.
func (s schedule) next() int64 {
	if len(s) == 0 {
		return -1
	}
	return s[0].at
}

// settle moves what stands at i to where it belongs.
func (s schedule) settle(i int) {
	for i > 0 && s[i].at < s[(i-1)/2].at {
		s.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s); child++ {
			if s[child].at < s[first].at {
				first = child
			}
		}
		if first == i {
			return
		}
		s.swap(i, first)
		i = first
	}
}

func (s schedule) swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}
