# Many small programs of the tape, one a line; see programs.py.
# views and in-place
x=torch.arange(6.).reshape(2,3).requires_grad_(); y=x*2; y[0].mul_(3); y.sum().backward(); show('view mul_', x.grad, y)
x=torch.ones(3,requires_grad=True); y=x*1; v=y[1:]; v.add_(x[:2]*5); (y*torch.arange(3.)).sum().backward(); show('slice add_', x.grad, y, v)
x=torch.ones(4,requires_grad=True); y=x.clone(); a=y[:2]; b=y[2:]; a.copy_(b*3); (y*torch.tensor([1.,2,3,4])).sum().backward(); show('copy_', x.grad,y)
x=torch.ones(2,2,requires_grad=True); y=x*3; t=y.t(); t[0]=7.; (y*y).sum().backward(); show('t setitem', x.grad, y)
x=torch.zeros(3); w=torch.ones(2,requires_grad=True); x[1:]=w*2; x.sum().backward(); show('into no-grad base', w.grad, x, x.requires_grad)
x=torch.ones(2,requires_grad=True)
attempt('leaf in-place', lambda: x.add_(1))
attempt('leaf view in-place', lambda: x[0:1].add_(1))
y=x.exp(); y.add_(1); attempt('saved modified', lambda: y.sum().backward())
y=x*x; z=y*y; y.mul_(2); attempt('saved modified 2', lambda: z.sum().backward())
y=(x*2).relu(); y2=y.sum(); y2.backward(); attempt('second backward', lambda: y2.backward())
# higher order
x=torch.tensor([2.,3.],requires_grad=True); g,=torch.autograd.grad((x**3).sum(),x,create_graph=True); g2,=torch.autograd.grad(g.sum(),x,create_graph=True); g3,=torch.autograd.grad(g2.sum(),x); show('third', g,g2,g3)
x=torch.tensor([[1.,2.],[3.,4.]],requires_grad=True); s=torch.softmax(x,-1); g,=torch.autograd.grad((s*s).sum(),x,create_graph=True); (g*g).sum().backward(); show('softmax2', x.grad)
a=torch.tensor([[1.,2.],[3.,4.]],requires_grad=True); b=torch.tensor([[.5,1.],[2.,3.]],requires_grad=True); c=(a@b).tanh().sum(); g=torch.autograd.grad(c,[a,b],create_graph=True); (g[0].sum()*g[1].sum()).backward(); show('mm2',a.grad,b.grad)
# hooks
x=torch.ones(2,requires_grad=True); log=[]; y=x*2; y.register_hook(lambda g:(log.append('y'),g*10)[1]); x.register_hook(lambda g: log.append('x')); y.sum().backward(); show('hooks', x.grad, log)
x=torch.ones(2,requires_grad=True); y=x*2; y.retain_grad(); z=(y*3).sum(); z.backward(); show('retain', y.grad, y.is_leaf)
# accumulate, shared gradients
x=torch.ones(2,requires_grad=True); y=torch.ones(2,requires_grad=True); (x+y).sum().backward(); x.grad.mul_(5); show('separate grads', x.grad,y.grad)
x=torch.ones(2,requires_grad=True); gid=None; (x*2).sum().backward(); g=x.grad; (x*3).sum().backward(); show('same object', g is x.grad, x.grad)
# expand
x=torch.ones(3,1,requires_grad=True); (x.expand(3,4)*torch.arange(4.)).sum().backward(); show('expand', x.grad)
attempt('expand in-place', lambda: torch.ones(3,1).expand(3,4).add_(1))
# detach and data
x=torch.ones(2,requires_grad=True); d=x.detach(); d[0]=5; show('detach shares', x, d.requires_grad); x.data[1]=9; show('data', x, x.requires_grad)
with torch.no_grad(): x.mul_(2)
show('no_grad leaf', x, x.grad_fn)
# unused, allow_unused
x=torch.ones(1,requires_grad=True); y=torch.ones(1,requires_grad=True)
attempt('unused', lambda: torch.autograd.grad((x*2).sum(),[y])); show('unused ok', torch.autograd.grad((x*2).sum(),[x,y],allow_unused=True)[1])
attempt('non-scalar', lambda: (x.expand(3)*2).backward()); attempt('no grad', lambda: torch.ones(1).backward())
attempt('int requires', lambda: torch.ones(2,dtype=torch.int64).requires_grad_())
# masks
x=torch.arange(4.,requires_grad=True); y=x*1; y[x.detach()>1]=0.; y.sum().backward(); show('mask set', x.grad)
x=torch.arange(4.,requires_grad=True); x[torch.tensor([0,0,3])].sum().backward(); show('gather', x.grad)
# chunk in-place refused
x=torch.ones(4,requires_grad=True); y=x*1; c=y.chunk(2)
attempt('chunk in-place', lambda: c[0].add_(1))
x=torch.ones(3,requires_grad=True)
with torch.no_grad(): v=(x*1)
show('nograd', v.requires_grad)
a=torch.zeros(3,3); a.diagonal().fill_(2.); show('diag fill', a)
x=torch.ones(2,3,requires_grad=True); y=x.clone(); y.unsqueeze(0)[0,1].zero_(); (y*2).sum().backward(); show('zero_ chain', x.grad)
# views that take their sizes from another tensor
x=torch.ones(2,3,requires_grad=True); y=x*2; v=y.view_as(torch.zeros(3,2)); v[0]=5.; v.mul_(3); (y*torch.arange(6.).view(2,3)).sum().backward(); show('view_as in-place', x.grad, v, y)
x=torch.ones(2,3,requires_grad=True); y=x*2; v=y.reshape_as(torch.zeros(6)); v[1:].exp_(); w=y.t(); (w*w).sum().backward(); show('reshape_as in-place', x.grad)
x=torch.ones(2,3,requires_grad=True); y=x*2; v=y.expand_as(torch.zeros(2,3)); v[:,1]*=4; g,=torch.autograd.grad((y**3).sum(),x,create_graph=True); (g*g).sum().backward(); show('expand_as in-place', x.grad)
# integers have no history
x=torch.ones(3,requires_grad=True)*2; a=torch.zeros(3,dtype=torch.int64); v=a[:2]; a[...]=x; v.copy_(x[1:]); show('tracked values into integers', a, a.requires_grad, a.grad_fn, v.is_leaf, v.grad_fn)
