package com.aliyun.fc.runtime;

/** JSON in, JSON out, as objects. */
public interface PojoRequestHandler<I, O> {
    O handleRequest(I input, Context context);
}
