package com.aliyun.fc.runtime;

import java.util.Map;

/** The trace the call belongs to. */
public interface OpenTracing {
    String getSpanContext();

    Map<String, String> getSpanBaggages();

    String getJaegerEndpoint();
}
